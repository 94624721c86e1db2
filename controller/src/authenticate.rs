//! Who a data plane is: its token, asked of the API server (TokenReview).
//!
//! Any pod may project a token with any audience, so an audience alone proves nothing: the answer must have our audience,
//! a user on the list of data planes' ServiceAccounts, and the pod that the token is bound to.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, TokenReviewStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Client;
use kube::api::{Api, PostParams};
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;

use crate::publish::{Authenticate, Authenticated, Peer, Refused};

/// Tokens are about 1 KiB.
const TOKEN_BYTES_MAX: usize = 16 * 1024;
/// Answers that are kept; a fleet has hundreds of data planes, and each a new token every hour.
const ANSWERS_MAX: usize = 4096;
/// Questions at a time; the others wait. A thousand data planes that come back at once must not flood the API server.
const QUESTIONS_MAX: usize = 8;
/// For one question.
const QUESTION_MAX: Duration = Duration::from_secs(10);
/// How long a good answer is believed: a token is of no use any more once its pod is deleted, which only the API server
/// knows.
const ANSWER_AGE_MAX: Duration = Duration::from_secs(300);
/// A token that does not say when it expires is asked about again after this.
const EXPIRY_DEFAULT: Duration = Duration::from_secs(600);
/// The pod that a token is bound to.
const POD_NAME: &str = "authentication.kubernetes.io/pod-name";
/// Its UID.
const POD_UID: &str = "authentication.kubernetes.io/pod-uid";

/// Asks the API server about tokens. Cheap to clone.
#[derive(Clone)]
pub struct TokenReviews(Arc<Inner>);

struct Inner {
    api: Api<TokenReview>,
    audience: String,
    /// As the API server spells them: `system:serviceaccount:NAMESPACE:NAME`.
    users: Vec<String>,
    questions: Semaphore,
    /// Good tokens by their hash. What was refused is asked again.
    answers: Mutex<HashMap<[u8; 32], Answer>>,
}

/// Of a good token.
struct Answer {
    given: Authenticated,
    /// When it is asked for again.
    until: SystemTime,
}

impl TokenReviews {
    /// Tokens must have the audience, and be of one of the ServiceAccounts (`namespace/name`).
    pub fn new(client: Client, audience: impl Into<String>, service_accounts: &[routing::ObjectName]) -> Self {
        let user = |name: &routing::ObjectName| format!("system:serviceaccount:{}:{}", name.namespace, name.name);
        Self(Arc::new(Inner {
            api: Api::all(client),
            audience: audience.into(),
            users: service_accounts.iter().map(user).collect(),
            questions: Semaphore::new(QUESTIONS_MAX),
            answers: Mutex::default(),
        }))
    }
}

impl Authenticate for TokenReviews {
    async fn authenticate(&self, token: &str) -> Result<Authenticated, Refused> {
        let now = SystemTime::now();
        if token.is_empty() || token.len() > TOKEN_BYTES_MAX {
            return Err(Refused::Denied(format!("a token has 1 to {TOKEN_BYTES_MAX} bytes")));
        }
        let hash = Sha256::digest(token.as_bytes()).into();
        if let Some(known) = self.0.known(&hash, now) {
            return Ok(known);
        }
        let status = self.0.ask(token).await?;
        let peer = judge(&status, &self.0.audience, &self.0.users).map_err(Refused::Denied)?;
        let expires = expiry(token).unwrap_or(now + EXPIRY_DEFAULT);
        let answer = Authenticated { peer, expires: Some(expires) };
        self.0.keep(hash, Answer { given: answer.clone(), until: expires.min(now + ANSWER_AGE_MAX) }, now);
        Ok(answer)
    }
}

impl Inner {
    async fn ask(&self, token: &str) -> Result<TokenReviewStatus, Refused> {
        let unavailable = |why: String| Refused::Unavailable(why);
        // Never closed.
        let _permit = self.questions.acquire().await.map_err(|e| unavailable(e.to_string()))?;
        let review = TokenReview {
            metadata: ObjectMeta::default(),
            spec: TokenReviewSpec { token: token.to_owned(), audiences: Some(vec![self.audience.clone()]) },
            status: None,
        };
        let params = PostParams::default();
        let asked = tokio::time::timeout(QUESTION_MAX, self.api.create(&params, &review));
        let answer = asked.await.map_err(|_| unavailable("the API server does not answer".into()))?;
        let review = answer.map_err(|e| unavailable(format!("TokenReview: {e}")))?;
        review.status.ok_or_else(|| unavailable("the API server's TokenReview has no status".into()))
    }

    fn known(&self, hash: &[u8; 32], now: SystemTime) -> Option<Authenticated> {
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.get(hash).filter(|answer| now < answer.until).map(|answer| answer.given.clone())
    }

    fn keep(&self, hash: [u8; 32], answer: Answer, now: SystemTime) {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        if answers.len() >= ANSWERS_MAX {
            answers.retain(|_, answer| now < answer.until);
        }
        if answers.len() < ANSWERS_MAX {
            answers.insert(hash, answer);
        }
    }
}

/// Whose token it is; `Err` says why that is nobody who may connect.
fn judge(status: &TokenReviewStatus, audience: &str, users: &[String]) -> Result<Peer, String> {
    if status.authenticated != Some(true) {
        let why = status.error.as_deref().unwrap_or("it has expired, its pod is gone, or it has another audience");
        return Err(format!("the API server does not accept it: {why}"));
    }
    if !status.audiences.iter().flatten().any(|a| a == audience) {
        return Err(format!("it is not for the audience {audience}"));
    }
    let user = status.user.clone().unwrap_or_default();
    let name = user.username.unwrap_or_default();
    let account = users.iter().find(|allowed| **allowed == name);
    let account = account.and_then(|user| user.strip_prefix("system:serviceaccount:")).and_then(|u| u.split_once(':'));
    let Some((namespace, service_account)) = account else {
        return Err(format!("it is of {name}, which is not a data planes' ServiceAccount"));
    };
    let extra = |key: &str| {
        let values = user.extra.as_ref().and_then(|extra| extra.get(key));
        values.and_then(|values| values.first()).filter(|value| !value.is_empty()).cloned()
    };
    let (Some(pod), Some(uid)) = (extra(POD_NAME), extra(POD_UID)) else {
        return Err("it is bound to no pod; a data plane has a projected token".into());
    };
    Ok(Peer { namespace: namespace.into(), pod, uid, service_account: service_account.into() })
}

/// When a token expires by its own word, which the API server has found to be genuine.
fn expiry(token: &str) -> Option<SystemTime> {
    #[derive(serde::Deserialize)]
    struct Claims {
        exp: u64,
    }
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let claims: Claims = serde_json::from_slice(&claims).ok()?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(claims.exp))
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::authentication::v1::TokenReviewStatus;
    use serde_json::{Value, json};

    use super::{expiry, judge};

    #[test]
    fn only_a_data_planes_bound_token_for_us_is_good() {
        let good = json!({
            "authenticated": true,
            "audiences": ["moongate-controller"],
            "user": {
                "username": "system:serviceaccount:edge:planes",
                "extra": {
                    "authentication.kubernetes.io/pod-name": ["plane-1"],
                    "authentication.kubernetes.io/pod-uid": ["u-1"]
                }
            }
        });
        let users = ["system:serviceaccount:edge:planes".to_owned()];
        let judged = |status: &Value| {
            let status: TokenReviewStatus = serde_json::from_value(status.clone()).unwrap();
            judge(&status, "moongate-controller", &users)
        };
        let peer = judged(&good).unwrap();
        let parts = (peer.namespace.as_str(), peer.service_account.as_str(), peer.pod.as_str(), peer.uid.as_str());
        assert_eq!(parts, ("edge", "planes", "plane-1", "u-1"));
        let check = |pointer: &str, value: Value, message: &str| {
            let mut status = good.clone();
            *status.pointer_mut(pointer).unwrap() = value;
            let why = judged(&status).unwrap_err();
            assert!(why.contains(message), "{pointer}: {why}");
        };
        check("/authenticated", json!(false), "does not accept it");
        check("/audiences", json!(["https://kubernetes.default.svc"]), "not for the audience moongate-controller");
        check("/audiences", json!([]), "not for the audience");
        check("/user/username", json!("system:serviceaccount:edge:default"), "not a data planes' ServiceAccount");
        check("/user/username", json!("system:serviceaccount:edge:planes:x"), "not a data planes' ServiceAccount");
        check("/user/extra", json!({"authentication.kubernetes.io/pod-name": ["plane-1"]}), "bound to no pod");
        check("/user/extra", json!({}), "bound to no pod");
    }

    #[test]
    fn a_tokens_own_expiry_is_read() {
        // {"exp": 1700000000}
        let at = expiry("e30.eyJleHAiOiAxNzAwMDAwMDAwfQ.x").unwrap();
        assert_eq!(at.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs(), 1_700_000_000);
        for bad in ["", "a", "a.b.c", "e30.e30.x", "e30.!.x"] {
            assert_eq!(expiry(bad), None, "{bad}");
        }
    }
}

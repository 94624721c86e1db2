//! The ways to edit files, each of which takes effect.

use e2e::manifests::{ingress, service};
use e2e::{Manifests, Moongate, Upstream};

#[test]
fn each_way_to_edit_a_file_takes_effect() {
    let upstream = Upstream::answering("ok");
    let manifests = Manifests::of(&[service("backend", &[upstream.port])]);
    let moongate = Moongate::start(&manifests);
    let host = |n: u32| ingress("shop", &format!("h{n}.example.com"), "/", "backend", &[]);
    let is_served = |n: u32| moongate.await_answer(&format!("h{n}.example.com"), "/", |r| r.status == 200);
    manifests.write("shop.yaml", &host(1));
    is_served(1);
    manifests.write_in_place("shop.yaml", &host(2));
    is_served(2);
    assert_eq!(moongate.get("h1.example.com", "/").status, 404);
    // As vim does: the old file is moved away, a new one is written, the old one is removed.
    let at = |name: &str| manifests.path().join(name);
    std::fs::rename(at("shop.yaml"), at("shop.yaml~")).unwrap();
    manifests.write_in_place("shop.yaml", &host(3));
    std::fs::remove_file(at("shop.yaml~")).unwrap();
    is_served(3);
    // As a mounted ConfigMap does: links into a directory that is swapped.
    std::fs::create_dir_all(at("mounted/..1")).unwrap();
    std::fs::write(at("mounted/..1/extra.yaml"), host(4).replace("name: shop\n", "name: extra\n")).unwrap();
    std::os::unix::fs::symlink("..1", at("mounted/..data")).unwrap();
    std::os::unix::fs::symlink("..data/extra.yaml", at("mounted/extra.yaml")).unwrap();
    is_served(4);
    std::fs::create_dir_all(at("mounted/..2")).unwrap();
    std::fs::write(at("mounted/..2/extra.yaml"), host(5).replace("name: shop\n", "name: extra\n")).unwrap();
    std::os::unix::fs::symlink("..2", at("mounted/..new")).unwrap();
    std::fs::rename(at("mounted/..new"), at("mounted/..data")).unwrap();
    is_served(5);
    is_served(3);
    // A whole directory away and back.
    std::fs::rename(at("mounted"), manifests.logs().join("mounted")).unwrap();
    moongate.await_answer("h5.example.com", "/", |r| r.status == 404);
    std::fs::rename(manifests.logs().join("mounted"), at("mounted")).unwrap();
    is_served(5);
}

ngx.shared.bench:incr("status:" .. ngx.status, 1, 0)

ngx.header["X-Bench"] = "on"
ngx.header["X-Powered-By"] = nil

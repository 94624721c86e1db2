local headers = ngx.req.get_headers()
if headers["X-Refuse"] then
  return ngx.exit(403)
end
ngx.shared.bench:incr(ngx.var.remote_addr, 1, 0, 60)
ngx.req.set_header("X-Client", ngx.var.remote_addr)
ngx.ctx.started = ngx.now()

// The image's health check: asks the server of this container whether it takes jobs.
const tls = Boolean(process.env.SLUICE_TLS_CERT);
// The certificate names the public host, not localhost, and nothing secret is sent.
if (tls) process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0';
const url = `${tls ? 'https' : 'http'}://127.0.0.1:${process.env.SLUICE_HTTP_PORT || '7880'}/healthz`;
try {
  const { ok, status } = await fetch(url, { signal: AbortSignal.timeout(4000) });
  console.log(`${url}: ${status}`);
  process.exitCode = ok ? 0 : 1;
} catch (error) {
  console.log(`${url}: ${error.cause?.message ?? error.message}`);
  process.exitCode = 1;
}

/** What our child processes get to know of our environment: nothing that is ours to know (keys, passwords, tokens). */

/** Variables that say how programs and libraries are found and how they run. */
const NAMES = new Set([
  ...['PATH', 'HOME', 'USER', 'LOGNAME', 'SHELL', 'LANG', 'LANGUAGE', 'TZ', 'TMPDIR', 'TERM', 'DISPLAY'],
  ...['SSL_CERT_FILE', 'SSL_CERT_DIR', 'WAYLAND_DISPLAY', 'DBUS_SESSION_BUS_ADDRESS'],
]);
const PREFIXES = [
  ...['LC_', 'LD_', 'XDG_', 'GST_', 'GI_', 'GIO_', 'GJS_', 'GLIB_', 'G_', 'FONTCONFIG_', 'ORC_', 'MALLOC_'],
  ...['LIBVA_', 'VDPAU_', 'CUDA_', 'NVIDIA_', 'ASAN_', 'LSAN_', 'UBSAN_'],
];

/** `env` as far as a child may have it, and `more`. Pure. */
export function childEnvironment(
  env: NodeJS.ProcessEnv = process.env,
  more: Readonly<Record<string, string>> = {},
): NodeJS.ProcessEnv {
  const kept = Object.entries(env).filter(
    ([name]) => NAMES.has(name) || PREFIXES.some((prefix) => name.startsWith(prefix)),
  );
  return { ...Object.fromEntries(kept), ...more };
}

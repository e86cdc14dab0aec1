/** Calls through at most once in so many ms: what somebody else can cause at will must not fill the log. */
export function onceInAWhile<A extends unknown[]>(
  call: (...args: A) => void,
  everyMs = 5000,
): (...args: A) => void {
  let last = -Infinity;
  return (...args) => {
    const now = performance.now();
    if (now - last < everyMs) return;
    last = now;
    call(...args);
  };
}

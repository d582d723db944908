/** Milliseconds on the clock that all processes of the machine share, unlike performance.now(). */
export function now () {
  const [seconds, nanoseconds] = process.hrtime()
  return seconds * 1e3 + nanoseconds / 1e6
}

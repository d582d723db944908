/** What is told of a request, in reports, logs and channels. */
export interface RequestLine {
  method: string | null
  /** Its path, without whatever may be a secret. */
  route: string | null
}

// Longer ones would fill reports by themselves.
const longestMethod = 32
const longestRoute = 500

/**
 * Reports are kept, and logs are read at terminals: query strings, parameters behind a semicolon, fragments and passwords in
 * absolute targets (RFC 9112 section 3.2.2) are left out, and a control character is no text.
 */
export function requestLine (method: string | undefined, target: string | undefined): RequestLine {
  return { method: method === undefined ? null : shown(method, longestMethod), route: target === undefined ? null : shown(pathOf(target), longestRoute) }
}

function pathOf (target: string): string {
  const [path = ''] = target.split(/[?#;]/, 1)
  if (path.startsWith('/')) return path
  const origin = /^[a-z][a-z\d+.-]*:\/\/[^/]*/i.exec(path)?.[0]
  if (origin !== undefined) return path.slice(origin.length) || '/'
  // CONNECT has an authority instead; or it is malformed.
  return path.replace(/^.*@/s, '')
}

function shown (text: string, longest: number): string {
  const plain = text.replace(/\p{C}/gu, '\ufffd')
  return plain.length <= longest ? plain : `${plain.slice(0, longest)}…`
}

import { missingKeepAlive } from './keep-alive.ts'
import { nodeSharesPorts } from './listen/listeners.ts'
import type { Settings } from './options.ts'
import type { Native } from './os/native.ts'

/**
 * What of these settings cannot be done here, why, and how to get it, in one text; `null`: nothing is missing.
 * `native`: the system calls, or why there are none; `h2c`: the app speaks HTTP/2 in plain text.
 */
export function limits (
  { keepAlive, reusePort, hardStop }: Settings,
  native: Native | string,
  { env, h2c = false }: { env: NodeJS.ProcessEnv, h2c?: boolean }
): string | null {
  const calls = typeof native === 'string' ? null : native
  const missing: string[] = []

  const untuned = keepAlive === false ? [] : missingKeepAlive(keepAlive, calls)
  if (untuned.length > 0) missing.push(`not set of keepAlive: ${untuned.join(', ')}`)
  if (reusePort && !(calls?.has('SO_ATTACH_REUSEPORT_CBPF') ?? false)) {
    missing.push(nodeSharesPorts
      ? 'a listener with reusePort cannot send new connections to the others before it closes, so one that comes at that moment is reset'
      : 'reusePort is not set')
  }
  if (calls === null && hardStop === 'reset') missing.push("hardStop 'reset' sends no RST for TLS and for connections whose FIN is on its way")
  if (calls === null && env['NOTIFY_SOCKET'] !== undefined) missing.push('the service manager is not notified (NOTIFY_SOCKET)')
  if (calls === null && h2c) missing.push('an HTTP/2 session gets no notice of a shutdown, so streams that cross its GOAWAY are refused')
  if (calls === null) missing.push('the report does not know which bytes the peer has not acknowledged')
  if (missing.length === 0) return null

  const why = typeof native === 'string' ? `${native}: ` : ''
  return `${why}${missing.join('; ')}`
}

import type { Readable } from 'node:stream'
import type { DrainReport } from '../../index.ts'
import type { RawClient } from './raw-client.ts'

/** Reads what comes in `share` bytes at a time, with a pause after each, until the server's FIN. */
export async function readSlowly (client: RawClient, share: number, pause: number): Promise<void> {
  const fin = client.fin()
  while (!client.sawFin) {
    const enough = client.received.length + share
    client.socket.resume()
    await Promise.race([fin, client.until(text => text.length >= enough).catch(() => {})])
    if (client.sawFin) return
    client.socket.pause()
    await new Promise(resolve => setTimeout(resolve, pause))
  }
}

/** The whole of a stream; `end` says how it ended. */
export async function readAll (stream: Readable): Promise<{ bytes: number, end: string }> {
  let bytes = 0
  try {
    for await (const chunk of stream) bytes += chunk.length
    return { bytes, end: 'complete' }
  } catch (error) {
    return { bytes, end: (error as NodeJS.ErrnoException).code ?? String(error) }
  }
}

/** The connections that a report gives an outcome. */
export function outcomes ({ connections: { total, ...ended } }: DrainReport): Record<string, number> {
  return Object.fromEntries(Object.entries(ended).filter(([, count]) => count > 0))
}

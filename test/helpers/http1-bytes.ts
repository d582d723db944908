import { setTimeout as delay } from 'node:timers/promises'
import type { RawClient } from './raw-client.ts'

/**
 * Whether the peer reads what is sent to it, rather than answer with RST: an RST makes one of the writes after it fail.
 * To be asked after the peer's FIN, too, when nothing is read any more and an RST would go unnoticed.
 */
export async function takesBytes ({ socket }: RawClient, bytes: string | Buffer): Promise<boolean> {
  for (let i = 0; i < 3; i++) {
    const error = await new Promise<Error | null | undefined>(resolve => { socket.write(bytes, resolve) })
    if (error != null) return false
    await delay(20)
  }
  return true
}

/** Whether the server's FIN stays away for `ms`. */
export async function noFinFor (client: RawClient, ms: number): Promise<boolean> {
  await delay(ms)
  return !client.sawFin && client.error === null
}

import { setTimeout as sleep } from 'node:timers/promises'
import type { Random } from '../helpers/fuzz-random.ts'
import { random } from '../helpers/fuzz-random.ts'
import { rudeHttp1 } from './rude-http1.ts'
import { rudeHttp2 } from './rude-http2.ts'
import { rudeTls } from './rude-tls.ts'
import { rudeWebSocket } from './rude-websocket.ts'
import type { Victim } from './rude-wire.ts'

export interface Rude {
  server: Victim
  random: Random
  /** It is destroyed when the client is. */
  keep<T extends { destroy (): unknown }> (socket: T): T
  /** The client has been destroyed, or it is time to stop. */
  readonly over: boolean
}

export type RudeDeed = (rude: Rude) => Promise<void> | void

export interface RudeClient {
  /** Resolves when it has done all it wanted. */
  done: Promise<void>
  destroy (): void
}

/** What can be done to a server with these protocols. */
export function deedsAgainst ({ secure, http1, http2 }: Omit<Victim, 'port'>): Record<string, RudeDeed> {
  return {
    ...http1 ? { ...rudeHttp1, ...rudeWebSocket } : {},
    ...http2 ? rudeHttp2 : {},
    ...secure ? rudeTls : {}
  }
}

/** A client that breaks the rules in this way, on connections of its own. */
export function rudeClient (server: Victim, deed: string, seed: number): RudeClient {
  const sockets = new Set<{ destroy (): unknown }>()
  let over = false
  const numbers = random(seed)
  const rude: Rude = {
    server,
    random: numbers,
    keep (socket) {
      sockets.add(socket)
      if (over) socket.destroy()
      return socket
    },
    get over () { return over }
  }
  const [patience, stays] = [numbers.pick([50, 200, 400, 600]), numbers.int(1, 4) === 1]
  return { done: act(), destroy }

  async function act (): Promise<void> {
    await deedsAgainst(server)[deed]?.(rude)
    await sleep(patience)
    // One in four stays until the drain throws it out.
    if (!stays) destroy()
  }

  function destroy (): void {
    over = true
    for (const socket of sockets) socket.destroy()
  }
}

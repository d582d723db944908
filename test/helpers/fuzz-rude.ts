import { setTimeout as sleep } from 'node:timers/promises'
import type { FuzzClient } from './fuzz-client.ts'
import type { Random } from './fuzz-random.ts'
import type { FuzzServer } from './fuzz-servers.ts'
import { rudeHttp1 } from './fuzz-rude-http1.ts'
import { rudeHttp2 } from './fuzz-rude-http2.ts'
import { rudeTls } from './fuzz-rude-tls.ts'
import { rudeWebSocket } from './fuzz-rude-websocket.ts'

export interface Rude {
  port: number
  server: FuzzServer
  random: Random
  /** It is destroyed when the client is. */
  keep<T extends { destroy (): unknown }> (socket: T): T
  /** The client has been destroyed, or it is time to stop. */
  readonly over: boolean
}

export type RudeDeed = (rude: Rude) => Promise<void> | void

/** A client that breaks the rules, in one of the ways that this server can see. */
export function rudeClient (port: number, server: FuzzServer, random: Random): FuzzClient {
  const sockets = new Set<{ destroy (): unknown }>()
  const client: FuzzClient = {
    ids: [],
    log: [],
    received: '',
    error: null,
    rude: true,
    over: false,
    ended: true,
    done: Promise.resolve(),
    destroy () {
      client.over = true
      for (const socket of sockets) socket.destroy()
    }
  }
  const rude: Rude = {
    port,
    server,
    random,
    keep (socket) {
      sockets.add(socket)
      if (client.over) socket.destroy()
      return socket
    },
    get over () { return client.over }
  }
  const deeds: Record<string, RudeDeed> = {
    ...server.http1 ? { ...rudeHttp1, ...rudeWebSocket } : {},
    ...server.http2 ? rudeHttp2 : {},
    ...server.secure ? rudeTls : {}
  }
  const deed = random.pick(Object.keys(deeds))
  const [begin, patience] = [random.int(0, 150), random.pick([50, 200, 400, 600])]
  client.log.push(deed)
  client.done = act()
  return client

  async function act (): Promise<void> {
    await sleep(begin)
    if (client.over) return
    await deeds[deed]?.(rude)
    await sleep(patience)
    // One in four stays until the drain throws it out.
    if (random.int(1, 4) > 1) client.destroy()
  }
}

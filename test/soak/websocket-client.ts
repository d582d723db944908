import { WebSocket } from 'ws'
import { nameOf, patience, pause, type Client } from './client.ts'

/** Messages with ids that come back. Whenever it gets 1001 it connects again. */
export const webSocket: Client = (site, name, random) => webSocketClient(site, name, random, `ws://127.0.0.1:${site.ports.http1}/ws`)

export const webSocketTls: Client = (site, name, random) => webSocketClient(site, name, random, `wss://127.0.0.1:${site.ports.tls}/ws`)

const webSocketClient = async (site: Parameters<Client>[0], name: string, { int }: Parameters<Client>[2], url: string): Promise<void> => {
  const { ledger, journal, story: service } = site
  for (let n = 1; !site.stopping.aborted; n++) {
    const story = journal.connection(`${name} ${n}`)
    const socket = new WebSocket(url, { rejectUnauthorized: false, handshakeTimeout: patience })
    const waiting = new Set<string>()
    const closed = new Promise<void>(resolve => socket.on('close', (code, reason) => {
      story.tell(`closed with ${code} ${reason}`)
      if (code !== 1001) journal.violation('websocket close', `${name} was closed with ${code} ${reason}`, story, service)
      for (const id of waiting) ledger.answered(id, 'late')
      resolve()
    }))
    socket.on('open', () => story.tell('open'))
    socket.on('error', error => story.tell(nameOf(error)))
    socket.on('message', data => {
      const id = String(data)
      if (waiting.delete(id)) ledger.answered(id)
      else journal.violation('websocket echo', `${id} came back twice`, story, service)
    })
    for (let i = 1; socket.readyState !== WebSocket.CLOSED && !site.stopping.aborted; i++) {
      await Promise.race([pause(site, int(100, 400)), closed])
      if (socket.readyState !== WebSocket.OPEN || site.stopping.aborted) continue
      const id = `${name}.${n}.${i}`
      waiting.add(id)
      ledger.sent(id, story, service)
      socket.send(id)
    }
    // At the end the service closes it, as in every restart.
    await closed
    await pause(site, int(0, 200))
  }
}

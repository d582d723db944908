import t from 'tap'
import { once } from 'node:events'
import http from 'node:http'
import { Socket, type AddressInfo } from 'node:net'
import WebSocket, { WebSocketServer } from 'ws'
import { sayGoingAway, webSocketOn } from '../../../lib/protocols/websocket.ts'

t.test('the WebSocket of the package ws is found on its socket, and its peer is told 1001', async t => {
  const server = http.createServer()
  const webSockets = new WebSocketServer({ noServer: true })
  const sockets: Socket[] = []
  server.on('upgrade', (request, socket, head) => {
    sockets.push(socket as Socket)
    t.equal(webSocketOn(socket as Socket), null, 'not before its handshake')
    webSockets.handleUpgrade(request, socket, head, webSocket => { webSockets.emit('connection', webSocket, request) })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const connected = once(webSockets, 'connection')
  const client = new WebSocket(`ws://127.0.0.1:${(server.address() as AddressInfo).port}`)
  const [ours] = await connected
  const found = webSocketOn(sockets[0]!)
  t.equal(found, ours)
  const closed = once(client, 'close')
  let sent = 0
  sayGoingAway(found!, sockets[0]!, () => { sent++ })
  t.equal(sent, 1, 'nothing has to be waited for')
  const [code, reason] = await closed
  t.equal(code, 1001)
  t.equal(String(reason), 'service restart')
})

t.test('nothing else on a socket is taken for one', async t => {
  const socket = new Socket()
  t.equal(webSocketOn(socket), null)
  const close = (): void => {}
  for (const value of [null, undefined, 1, 'text', close, {}, { close }, { close, terminate: close }, { close, terminate: close, ping: 1 }]) {
    (socket as unknown as Record<symbol, unknown>)[Symbol('websocket')] = value
    t.equal(webSocketOn(socket), null)
  }
})

t.test('where frames still wait to be compressed, the time of the peer begins when those are out', async t => {
  for (const [bufferedAmount, isCompressing] of [[10, true], [5, false]] as const) {
    const log: string[] = []
    let compressed = (): void => {}
    const webSocket: Parameters<typeof sayGoingAway>[0] = {
      bufferedAmount,
      close: (code, reason) => { log.push(`close ${code} ${reason}`) },
      terminate () {},
      ping (_data, _mask, sent = () => {}) {
        log.push('ping')
        compressed = sent
      }
    }
    sayGoingAway(webSocket, Object.defineProperty(new Socket(), 'writableLength', { value: 5 }), () => { log.push('sent') })
    t.same(log, isCompressing ? ['ping', 'close 1001 service restart'] : ['close 1001 service restart', 'sent'])
    compressed()
    t.equal(log.at(-1), 'sent')
  }
})

import { once } from 'node:events'
import http from 'node:http'
import type { Socket } from 'node:net'
import t from 'tap'
import { Client } from 'undici'
import { startService } from './helpers/handover.ts'
import { http1Client } from './helpers/http1-client.ts'
import { rawClient, request } from './helpers/raw-client.ts'
import { plainWire } from './helpers/wire.ts'

const host = '127.0.0.1'

interface Seen { pid: number, port: number }
interface Peer {
  name: string
  /** Who answers, and the port of the client as it sees it there. */
  ask (): Promise<Seen>
  /** Its own ports, as far as it knows. */
  ports: Set<number>
}

t.test('idle connections are answered by one process after the other, and stay the same connections', async t => {
  const service = await startService(t, { apps: [{ listen: { host, port: 0 } }] })
  const to = service.address()
  const wire = await plainWire(t, to)
  const silent = await rawClient(t, to)
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 })
  const client = new Client(`http://${host}:${to.port}`)
  t.teardown(async () => {
    agent.destroy()
    await client.destroy()
  })
  const raw = http1Client(wire)
  const connected: unknown[] = []
  client.on('connect', url => connected.push(url))
  const agentPorts = new Set<number>()
  const peers: Peer[] = [{
    name: 'a raw socket',
    ports: new Set([wire.raw.socket.localPort as number]),
    async ask () {
      const { headers, body } = await raw.ask('/').answer()
      t.equal(headers['connection'], 'keep-alive')
      return JSON.parse(body)
    }
  }, {
    name: 'http.Agent',
    ports: agentPorts,
    async ask () {
      const [response] = await once(http.get({ ...to, agent }), 'response')
      agentPorts.add((response.socket as Socket).localPort as number)
      let text = ''
      for await (const part of response.setEncoding('utf8')) text += part
      return JSON.parse(text)
    }
  }, {
    name: 'undici',
    ports: new Set(),
    async ask () {
      const { body } = await client.request({ path: '/', method: 'GET' })
      return await body.json() as Seen
    }
  }]
  const seen = new Map<Peer, Seen[]>(peers.map(peer => [peer, []]))
  const askAll = async (): Promise<void> => {
    for (const peer of peers) seen.get(peer)!.push(await peer.ask())
  }

  await askAll()
  for (let i = 0; i < 3; i++) {
    const [old] = await service.handOver()
    await askAll()
    t.equal(await old.ended, 0)
    t.match(await old.tells('report'), { report: { reason: 'handover', connections: { total: 4, 'handed-over': 4 } } })
  }

  const pids = service.generations.map(({ pid }) => pid)
  for (const [{ name, ports }, all] of seen) {
    t.same(all.map(({ pid }) => pid), pids, `${name} is answered by each process`)
    const port = all[0]!.port
    t.ok(all.every(one => one.port === port), `${name}: every process sees the same client`)
    if (ports.size > 0) t.same(ports, new Set([port]))
  }
  t.equal(new Set(pids).size, 4)
  t.equal(connected.length, 1, 'undici has connected once')
  t.notOk(wire.sawEnd)
  silent.write(request('/'))
  t.match(await silent.until(/\}$/), `"pid":${pids.at(-1)},`, 'and who has had no byte yet is still there')
})

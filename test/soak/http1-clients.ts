import { answers, request, type Answer } from '../helpers/raw-client.ts'
import { connection, judge, lostOrCrossed, nameOf, pause, patience, repeat, type Client, type Connection, type Site } from './client.ts'
import { Client as Undici } from 'undici'

/** undici, which keeps its connection: GET and POST in turn, with pauses well below the idle grace. */
export const keepAlive: Client = (site, name, random) => undiciClient(site, name, random, `http://127.0.0.1:${site.ports.http1}`)

/** The same over TLS. */
export const keepAliveTls: Client = (site, name, random) => undiciClient(site, name, random, `https://127.0.0.1:${site.ports.tls}`)

async function undiciClient (site: Site, name: string, { int }: Parameters<Client>[2], origin: string): Promise<void> {
  const { ledger, journal, story: service } = site
  const story = journal.connection(name)
  const client = new Undici(origin, {
    pipelining: 1, keepAliveTimeout: 60_000, headersTimeout: patience, bodyTimeout: patience, connect: { rejectUnauthorized: false, ALPNProtocols: ['http/1.1'], timeout: patience }
  })
  let isFirst = true
  client.on('connect', () => { isFirst = true; story.tell('connected') })
  client.on('disconnect', (_origin, _targets, error) => story.tell(`disconnected: ${nameOf(error)}`))
  let since = 0
  await repeat(site, name, () => int(0, 250), async id => {
    const text = int(0, 1) === 0 ? null : 'x'.repeat(int(1, 3000))
    const idle = performance.now() - since
    ledger.sent(id, story, service)
    try {
      const { statusCode: status, body } = await client.request({
        path: `/items/${id}?ms=${int(0, 20)}`,
        method: text === null ? 'GET' : 'POST',
        ...text === null ? {} : { body: text, headers: { 'content-type': 'application/octet-stream' } }
      })
      judge(site, id, { status, body: await body.text(), expected: text === null ? id : `${id} ${text.length}` })
    } catch (error) {
      lostOrCrossed(site, id, nameOf(error), isFirst ? null : idle)
    }
    isFirst = false
    since = performance.now()
  })
  await client.close()
}

/** A connection for each request, which the client closes. */
export const newConnections: Client = (site, name, { int }) => repeat(site, name, () => int(40, 120), async id => {
  const client = await connection(site, id)
  if (client === null) return
  await exchange(site, client, id, `/items/${id}?ms=${int(0, 5)}`)
  await leave(site, client, id)
})

/** Three requests at once. What was not answered when the connection ended is sent again, on the next. */
export const pipelined: Client = async (site, name, { int }) => {
  const { ledger, story } = site
  let client: Connection | null = null
  let waiting: string[] = []
  await repeat(site, name, () => int(100, 300), async id => {
    client ??= await connection(site, id)
    if (client === null) return
    const ids = waiting
    for (const part of waiting.length > 0 ? [] : ['a', 'b', 'c']) {
      ids.push(`${id}${part}`)
      ledger.sent(`${id}${part}`, client.story, story)
    }
    const before = client.received.length
    const idle = idleTime(client)
    client.write(ids.map(id => request(`/items/${id}?ms=${int(0, 20)}`)).join(''))
    // Where an answer says close, those to what had come before it may follow; then comes FIN.
    await client.until(received => answersIn(received.slice(before)).length === ids.length).catch(() => {})
    client.answeredAt = performance.now()
    const answered = answersIn(client.received.slice(before))
    for (const [i, { status, body }] of answered.entries()) judge(site, ids[i] as string, { status, body, expected: ids[i] as string })
    waiting = ids.slice(answered.length)
    const isLast = answered.some(({ headers }) => headers['connection'] === 'close')
    // What has no answer then was not executed.
    for (const id of waiting) if (isLast) ledger.refused(id)
    if (isLast || waiting.length > 0) {
      if (!isLast) for (const id of waiting.splice(0)) lostOrCrossed(site, id, client.error ?? 'FIN', idle)
      await leave(site, client, id)
      client = null
    }
  })
  for (const id of waiting) ledger.answered(id, 'aborted')
  await (client as Connection | null)?.leave()
}

/** Those that are complete; each has a Content-Length. */
function answersIn (received: string): Answer[] {
  try {
    return answers(received).filter(({ headers, body }) => Number(headers['content-length']) === body.length)
  } catch {
    // The head of the last one is not.
    const last = received.lastIndexOf('HTTP/1.1 ')
    return last > 0 ? answersIn(received.slice(0, last)) : []
  }
}

/** One request, and the FIN right behind it. */
export const halfClosed: Client = (site, name, { int }) => repeat(site, name, () => int(300, 900), async id => {
  const client = await connection(site, id)
  if (client === null) return
  site.ledger.sent(id, client.story, site.story)
  client.write(request(`/items/${id}?ms=${int(0, 200)}`))
  client.halfClose()
  const error = await client.closed()
  const [answer] = answersIn(client.received)
  if (answer === undefined) site.ledger.lost(id, error ?? 'FIN')
  else judge(site, id, { ...answer, expected: id })
})

/** RST, in the middle of a request, or of an answer. */
export const resets: Client = (site, name, { int, pick }) => repeat(site, name, () => int(100, 600), async id => {
  const client = await connection(site, id)
  if (client === null) return
  site.ledger.sent(id, client.story, site.story)
  const inRequest = pick([true, false])
  client.write(inRequest
    ? request(`/items/${id}`, { method: 'POST', headers: { 'content-type': 'application/octet-stream', 'content-length': '90000' } }) + 'x'.repeat(int(0, 80_000))
    : request(`/big/${id}/${10 ** 7}`))
  if (inRequest) await pause(site, int(0, 30))
  else await client.until(received => received.length > 100_000).catch(error => site.journal.violation('lost', `${id}: ${error.message}`, client.story, site.story))
  client.story.tell(`RST in the ${inRequest ? 'request' : 'answer'}`)
  client.reset()
  await client.closed()
  site.ledger.answered(id, 'aborted')
})

/** Bodies that take their time, of known length or chunked, up to three on a connection. */
export const uploads: Client = async (site, name, { int, pick }) => {
  let client: Connection | null = null
  await repeat(site, name, () => int(100, 400), async id => {
    client ??= await connection(site, id)
    if (client === null) return
    const pieces = Array.from({ length: int(2, 8) }, () => 'x'.repeat(int(1, 30_000)))
    const length = pieces.reduce((sum, piece) => sum + piece.length, 0)
    const isChunked = pick([true, false])
    const before = client.received.length
    const idle = idleTime(client)
    const type = { 'content-type': 'application/octet-stream' }
    site.ledger.sent(id, client.story, site.story)
    client.write(request(`/items/${id}`, { method: 'POST', headers: { ...type, ...isChunked ? { 'transfer-encoding': 'chunked' } : { 'content-length': String(length) } } }))
    for (const piece of pieces) {
      await new Promise(resolve => setTimeout(resolve, int(0, 80)))
      client.write(isChunked ? `${piece.length.toString(16)}\r\n${piece}\r\n` : piece)
    }
    if (isChunked) client.write('0\r\n\r\n')
    const isLast = await answerTo(site, client, id, before, `${id} ${length}`, idle)
    if (!isLast && client.received.length < 600) return
    await leave(site, client, id)
    client = null
  })
  await (client as Connection | null)?.leave()
}

/** Too large, and told so before the end: the whole answer has to arrive. */
export const tooLarge: Client = (site, name, { int }) => repeat(site, name, () => int(500, 1500), async id => {
  const client = await connection(site, id)
  if (client === null) return
  const size = 400_000
  site.ledger.sent(id, client.story, site.story)
  client.write(request(`/small/${id}`, { method: 'POST', headers: { 'content-type': 'application/octet-stream', 'content-length': String(size) } }))
  for (let sent = 0; sent < size && client.received === '' && client.error === null; sent += 50_000) {
    client.write('x'.repeat(50_000))
    await new Promise(resolve => setTimeout(resolve, int(0, 20)))
  }
  await client.until(received => answersIn(received).length === 1).catch(() => {})
  const [answer] = answersIn(client.received)
  if (answer?.status === 413) site.ledger.answered(id, 'rejected')
  else if (answer === undefined) site.ledger.lost(id, client.error ?? 'FIN')
  else judge(site, id, { ...answer, expected: '413' })
  await leave(site, client, id)
})

function idleTime ({ answeredAt }: Connection): number | null {
  return answeredAt === null ? null : performance.now() - answeredAt
}

async function exchange (site: Site, client: Connection, id: string, path: string): Promise<boolean> {
  const before = client.received.length
  site.ledger.sent(id, client.story, site.story)
  client.write(request(path))
  return answerTo(site, client, id, before, id)
}

/** Judges the next answer; resolves with whether it was the last. */
async function answerTo (site: Site, client: Connection, id: string, from: number, expected: string, idle: number | null = null): Promise<boolean> {
  await client.until(received => answersIn(received.slice(from)).length > 0).catch(() => {})
  client.answeredAt = performance.now()
  const [answer] = answersIn(client.received.slice(from))
  if (answer === undefined) {
    lostOrCrossed(site, id, client.error ?? (client.received.length === from ? 'FIN' : `FIN, ${client.received.length - from} bytes of the answer`), idle)
    return true
  }
  judge(site, id, { ...answer, expected })
  return answer.headers['connection'] === 'close' || client.sawFin
}

/** Nobody who has had an answer meets an RST afterwards. */
async function leave ({ journal, story }: Site, client: Connection, id: string): Promise<void> {
  const error = await client.leave()
  if (error !== null) journal.violation('reset', `the connection of ${id} ended with ${error} behind the answer`, client.story, story)
}

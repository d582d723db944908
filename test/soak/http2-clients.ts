import http2, { constants, type ClientHttp2Session, type ClientHttp2Stream } from 'node:http2'
import { judge, nameOf, patience, pause, repeat, type Client, type Site } from './client.ts'
import type { Story } from './journal.ts'

// Each session refuses a stream once at most, and no two restarts follow each other so fast.
const triesAtMost = 10

/** Node's client in plain text: three loops on one session, which it leaves when it is told to. */
export const h2c: Client = (site, name, random) => http2Client(site, name, random, `http://127.0.0.1:${site.ports.h2c}`)

/** The same over TLS. */
export const h2: Client = (site, name, random) => http2Client(site, name, random, `https://127.0.0.1:${site.ports.tls}`)

async function http2Client (site: Site, name: string, { int }: Parameters<Client>[2], origin: string): Promise<void> {
  const story = site.journal.connection(name)
  let session: ClientHttp2Session | null = null
  const current = (): ClientHttp2Session => {
    if (session === null || session.closed || session.destroyed) session = connect(origin, story)
    return session
  }
  await Promise.all(['a', 'b', 'c'].map(loop => repeat(site, `${name}.${loop}`, () => int(0, 500), async id => {
    const body = int(0, 1) === 0 ? null : 'x'.repeat(int(1, 3000))
    site.ledger.sent(id, story, site.story)
    for (let tries = 1; ; tries++) {
      const result = await exchange(current, `/items/${id}?ms=${int(0, 20)}`, body)
      if (result === 'refused' && tries < triesAtMost) {
        site.ledger.refused(id)
        // It may be sent again, and will be, as browsers do.
        await pause(site, 5)
      } else {
        if (typeof result === 'string') site.ledger.lost(id, result)
        else judge(site, id, { ...result, expected: body === null ? id : `${id} ${body.length}` })
        return
      }
    }
  })))
  current().close()
}

function connect (origin: string, story: Story): ClientHttp2Session {
  story.tell('connects')
  const session = http2.connect(origin, { rejectUnauthorized: false })
  session.on('connect', (_session, { localPort }) => story.tell(`connected, from port ${localPort}`))
  session.on('goaway', (code, last) => story.tell(`GOAWAY ${code}, last stream ${last}`))
  session.on('error', error => story.tell(nameOf(error)))
  session.on('close', () => story.tell('session closed'))
  return session
}

/** Resolves with the answer, `refused`, or what has happened instead. */
function exchange (current: () => ClientHttp2Session, path: string, body: string | null): Promise<{ status: number, body: string } | string> {
  return new Promise(resolve => {
    let stream: ClientHttp2Stream
    try {
      stream = current().request({
        ':path': path, ':method': body === null ? 'GET' : 'POST', ...body === null ? {} : { 'content-type': 'application/octet-stream' }
      }, { endStream: body === null })
    } catch (error) {
      return resolve(nameOf(error))
    }
    let status = 0
    let text = ''
    let error: string | null = null
    let isComplete = false
    stream.setTimeout(patience, () => stream.close(constants.NGHTTP2_CANCEL))
    stream.on('response', headers => { status = Number(headers[':status']) })
    stream.setEncoding('latin1').on('data', (part: string) => { text += part })
    stream.on('end', () => { isComplete = true })
    stream.on('error', err => { error = nameOf(err) })
    stream.on('close', () => {
      if (stream.rstCode === constants.NGHTTP2_REFUSED_STREAM) resolve('refused')
      else if (status > 0 && isComplete && stream.rstCode === 0) resolve({ status, body: text })
      else resolve(`${error ?? 'closed'}, code ${stream.rstCode}, ${status > 0 ? `status ${status}, ${text.length} bytes` : 'no answer'}`)
    })
    if (body !== null) stream.end(body)
  })
}

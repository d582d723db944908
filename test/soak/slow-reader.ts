import http, { type IncomingMessage } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { judge, nameOf, patience, repeat, type Client } from './client.ts'

// More than the buffers of the kernel on both sides hold.
const size = 8 * 10 ** 6

/** Reads an answer that is larger than all buffers, in a second or two. */
export const slowReader: Client = (site, name, { int }) => repeat(site, name, () => int(500, 2000), async id => {
  const story = site.journal.connection(name)
  site.ledger.sent(id, story, site.story)
  try {
    const answer = await get(site.ports.http1, `/big/${id}/${size}`)
    let length = 0
    let end = ''
    let next = 0
    for await (const chunk of answer) {
      length += chunk.length
      end = (end + chunk.toString('latin1', Math.max(0, chunk.length - 100))).slice(-100)
      if (length < next) continue
      next += 400_000
      story.tell(`${length} bytes of ${id}`)
      await sleep(int(20, 120))
    }
    judge(site, id, { status: answer.statusCode ?? 0, body: `${length}${end.slice(end.indexOf(' '))}`, expected: `${size + id.length + 1} ${id}` })
  } catch (error) {
    site.ledger.lost(id, nameOf(error))
  }
})

function get (port: number, path: string): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const request = http.get({ host: '127.0.0.1', port, path, agent: false }, resolve)
    request.on('error', reject).setTimeout(patience, () => request.destroy(new Error('nothing for too long')))
  })
}

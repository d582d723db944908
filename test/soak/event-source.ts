import http, { type IncomingMessage } from 'node:http'
import https from 'node:https'
import { nameOf, patience, pause, type Client, type Site } from './client.ts'

/** Server-sent events, which end when the drain begins, and go on behind the last that has arrived. */
export const eventSource: Client = (site, name, random) => follow(site, name, random, 'http1', 'events')

/** The same over TLS. */
export const eventSourceTls: Client = (site, name, random) => follow(site, name, random, 'tls', 'events')

/** The same where the plugin ends them. */
export const endedSource: Client = (site, name, random) => follow(site, name, random, 'http1', 'ended')

async function follow (site: Site, name: string, { int }: Parameters<Client>[2], to: 'http1' | 'tls', route: string): Promise<void> {
  const { events, journal, story: service } = site
  const story = journal.connection(name)
  events.watch(name, story, service)
  while (!site.stopping.aborted) {
    story.tell(`connects, after event ${events.lastOf(name)}`)
    try {
      const answer = await get(to === 'tls', site.ports[to], `/${route}/${name}`, events.lastOf(name))
      if (answer.statusCode !== 200) journal.violation(answer.statusCode === 503 ? '503' : 'wrong answer', `${name} got ${answer.statusCode}`, story, service)
      let text = ''
      for await (const chunk of answer.setEncoding('latin1')) {
        const whole = (text + chunk).split('\n\n')
        text = whole.pop() ?? ''
        for (const event of whole) {
          const n = /^id: (\d+)\ndata: /.exec(event)?.[1]
          if (n !== undefined) events.arrived(name, Number(n))
        }
      }
      story.tell(`the end, after event ${events.lastOf(name)}`)
    } catch (error) {
      journal.violation('event stream', `${name} was cut: ${nameOf(error)}`, story, service)
    }
    await pause(site, int(0, 100))
  }
}

function get (isSecure: boolean, port: number, path: string, last: number): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const options = { host: '127.0.0.1', port, path, agent: false, rejectUnauthorized: false, headers: last === 0 ? {} : { 'last-event-id': String(last) } } as const
    const request = (isSecure ? https : http).get(options, resolve)
    request.on('error', reject).setTimeout(patience, () => request.destroy(new Error('nothing for too long')))
  })
}

// How each proxy is given other servers while it runs, as an ingress controller does it.
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { Client, request } from 'undici'
import type { Config, Front } from './configs.ts'

export interface Change {
  /** Of the proxy's process. */
  pid: number
  /** The file of its configuration, which has been written already. */
  file: string
  config: Config
  front: Front
  /** The ports of the servers before. */
  before: number[]
}

/** Resolves when the proxy sends nothing new to those that have gone. */
export type ChangeUpstreams = (change: Change) => Promise<void>

/** New workers take over the listeners; the old ones end what they have begun. */
export const reloadNginx: ChangeUpstreams = async ({ pid, front: { port }, config: { generation } }) => {
  process.kill(pid, 'SIGHUP')
  // The new workers are there before the old ones are told.
  for (let answers = 0; answers < 5;) {
    const { body } = await request(`http://127.0.0.1:${port}/generation`, { reset: true })
    answers = await body.text() === String(generation) ? answers + 1 : 0
    await sleep(5)
  }
}

/** The runtime API: https://docs.haproxy.org/2.6/management.html#9.3 */
export const tellHaproxy: ChangeUpstreams = async ({ front: { name, upstreams }, before, config: { folder } }) => {
  for (const port of upstreams.filter(port => !before.includes(port))) {
    await tell(folder, `add server ${name}/s${port} 127.0.0.1:${port}`)
    await tell(folder, `enable server ${name}/s${port}`)
  }
  for (const port of before.filter(port => !upstreams.includes(port))) await tell(folder, `set server ${name}/s${port} state maint`)
}

async function tell (folder: string, command: string): Promise<void> {
  const socket = connect(`${folder}/admin.sock`)
  await once(socket, 'connect')
  socket.write(`${command}\n`)
  const answer = (await text(socket)).trim()
  if (answer !== '' && answer !== 'New server registered.') throw new Error(`HAProxy, told "${command}": ${answer}`)
}

/** What `caddy reload` does. */
export const reloadCaddy: ChangeUpstreams = async ({ file, config: { folder } }) => {
  const admin = new Client('http://localhost', { socketPath: `${folder}/admin.sock` })
  const { statusCode, body } = await admin.request({
    method: 'POST', path: '/load', headers: { 'content-type': 'text/caddyfile' }, body: readFileSync(file)
  })
  const answer = await body.text()
  await admin.close()
  if (statusCode !== 200) throw new Error(`Caddy does not load that: ${statusCode} ${answer}`)
}

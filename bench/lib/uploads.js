// Uploads `size` bytes `count` times with a client of Node, `width` at a time, each on a connection of its own. Prints "begun" when
// the first `width` are connected, then what became of each, one line of JSON.
import http from 'node:http'
import { text } from 'node:stream/consumers'

import { Client } from 'undici'

const [kind, url, size, count, width] = [...process.argv.slice(2, 4), ...process.argv.slice(4).map(Number)]
const headers = { 'content-type': 'application/json', 'content-length': size }
const body = Buffer.alloc(size, 'x')
const uploads = { http: uploadWithHttp, undici: uploadWithUndici }
let unconnected = width

await Promise.all(Array.from({ length: width }, async () => {
  for (let i = 0; i < count / width; i++) tell(JSON.stringify(await uploads[kind]().catch(failure)))
}))

function connected () {
  if (--unconnected === 0) tell('begun')
}

function uploadWithHttp () {
  return new Promise((resolve, reject) => {
    const request = http.request(url, { method: 'POST', headers, agent: false, timeout: 30_000 })
    request.on('socket', socket => socket.once('connect', connected))
    request.on('timeout', () => request.destroy(new Error('no answer in time')))
    request.on('response', answer => text(answer).then(body => resolve({ status: answer.statusCode, body }), reject))
    request.on('error', reject)
    request.end(body)
  })
}

async function uploadWithUndici () {
  const { origin, pathname } = new URL(url)
  const client = new Client(origin, { pipelining: 1, headersTimeout: 30_000, bodyTimeout: 30_000 })
  client.on('connect', connected)
  try {
    const answer = await client.request({ method: 'POST', path: pathname, headers, body })
    return { status: answer.statusCode, body: await answer.body.text() }
  } finally {
    await client.destroy()
  }
}

// undici wraps some socket errors: what the kernel said is then the cause.
function failure (error) {
  return { error: error.cause?.code ?? error.code ?? error.message }
}

function tell (line) {
  console.log(line)
}

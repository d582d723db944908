import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'

import { startMember } from './start-member.js'

const patience = 10_000

/** Kinds of connections: what the client sends, and who closes first. */
export const kinds = {
  'keep-alive, the client closes': { head: 'Connection: keep-alive', serverCloses: false },
  'Connection: close, the server closes': { head: 'Connection: close', serverCloses: true }
}

/** @throws Error when strace is missing or must not trace */
export async function checkStrace () {
  try {
    await promisify(execFile)('strace', ['-o', '/dev/null', '-c', 'true'])
  } catch (error) {
    const why = error.code === 'ENOENT' ? "strace is missing: it comes with Debian's package strace" : `strace does not run here: ${error.message}`
    throw new Error(why, { cause: error })
  }
}

/**
 * Counts the system calls of a server process, all its threads included, from its start to its end.
 *
 * @param {string} variant
 * @param {number} connections how many it serves, one after the other
 * @param {string} kind one of `kinds`
 * @returns {Promise<Record<string, number>>}
 */
export async function countCalls (variant, connections, kind) {
  const output = await traced(variant, ['-c', '-U', 'calls,name'], port => connectInTurn(port, connections, kinds[kind]))
  return Object.fromEntries([...output.matchAll(/^ *(\d+) (\w+)$/gm)]
    .filter(([, , name]) => name !== 'total')
    .map(([, calls, name]) => [name, Number(calls)]))
}

/** The calls that a server makes to set up its listener, as strace prints them. */
export async function listenerCalls (variant) {
  const output = await traced(variant, ['-s', '4', '-e', 'trace=setsockopt,getsockopt,bind,listen', '-e', 'signal=none'], async () => {})
  const calls = output.split('\n').map(line => line.replace(/^\d+ +/, '').replace(/\) += /, ') = '))
  const [, fd] = /^listen\((\d+),/m.exec(calls.join('\n'))
  return calls.filter(call => new RegExp(`^\\w+\\(${fd},`).test(call))
}

async function traced (variant, options, use) {
  const folder = await mkdtemp(join(tmpdir(), 'fastify-drain-'))
  const file = join(folder, 'strace')
  const server = startMember({ variant, wrapper: ['strace', '-f', '-o', file, ...options] })
  try {
    await server.load()
    const { port } = await server.listen(0)
    await use(port)
    // A lingering close that is under way belongs to what is counted.
    await sleep(100)
    await server.leave()
    return await readFile(file, 'utf8')
  } finally {
    await server.kill()
    await rm(folder, { recursive: true })
  }
}

// One at a time, with rests in between: what comes together is accepted and read with fewer calls.
async function connectInTurn (port, count, { head, serverCloses }) {
  for (let i = 0; i < count; i++) {
    const socket = net.connect({ port, host: '127.0.0.1', noDelay: true })
    socket.setTimeout(patience, () => socket.destroy(new Error(`The server did not go on within ${patience} ms`)))
    const closed = once(socket, 'close')
    await Promise.race([talk(socket, head, serverCloses), closed])
    await closed
    await sleep(1)
  }
}

async function talk (socket, head, serverCloses) {
  await once(socket, 'connect')
  await sleep(1)
  socket.write(`GET /items/1 HTTP/1.1\r\nHost: 127.0.0.1\r\n${head}\r\n\r\n`)
  await once(socket, 'data')
  if (serverCloses) return
  await sleep(1)
  socket.destroy()
}

import { randomUUID } from 'node:crypto'
import { readFile, readdir } from 'node:fs/promises'
import http from 'node:http'
import { loadavg } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'

import { startKeepAliveProcess } from './keep-alive-process.js'
import { startLineage } from './lineage.js'

const settle = 1000
const variable = 'FASTIFY_DRAIN_BENCH'

/**
 * Handovers in a row, each by the successor of the one before, under load: what is left behind by them.
 *
 * @param {object} options
 * @param {string} options.node the binary that runs the service
 * @param {number} options.connections
 * @param {number} options.think milliseconds
 * @param {number} options.work milliseconds a request takes
 * @param {number} options.times
 * @param {(n: number, counts: object, sample: object) => void} options.onStep told of every handover
 */
export async function handOverAgainAndAgain ({ node, connections, think, work, times, onStep }) {
  // Who has it in the environment was started here, whether it says so or not.
  const mark = { [variable]: randomUUID() }
  const lineage = startLineage({ variant: 'handover/handover', node, execArgv: ['--expose-gc'], work, mark })
  const load = startKeepAliveProcess()
  try {
    const { port, pid: first } = await lineage.saw('listening')
    await load.open({ port, connections, think })
    await sleep(settle)

    const samples = [await sample(first)]
    const moved = []
    const codes = []
    let pid = first
    for (let n = 1; n <= times; n++) {
      lineage.kill(pid, 'SIGUSR2')
      const { successor, at: over } = await lineage.saw('taken over', pid)
      const { at: ready } = await lineage.saw('ready', successor)
      const { code } = await lineage.saw('exit', pid)
      pid = successor
      moved.push(over - ready)
      codes.push(code)
      await sleep(settle)
      samples.push(await sample(pid))
      onStep(n, await load.counts(), samples.at(-1))
    }
    return { times, connections, think, counts: await load.stop(), samples, moved, codes, load: loadavg()[0], stderr: lineage.stderr() }

    async function sample (pid) {
      return { pid, heap: await heapOf(port), rss: await rssOf(pid), descriptors: (await readdir(`/proc/${pid}/fd`)).length, processes: await countMarked(mark) }
    }
  } finally {
    load.end()
    await lineage.end()
  }
}

/** After several garbage collections. */
function heapOf (port) {
  return new Promise((resolve, reject) => {
    http.get({ port, host: '127.0.0.1', path: '/heap', agent: false }, async answer => {
      resolve(JSON.parse(Buffer.concat(await answer.toArray())).heap)
    }).on('error', reject)
  })
}

async function rssOf (pid) {
  const [, kilobytes] = /^VmRSS:\s+(\d+) kB/m.exec(await readFile(`/proc/${pid}/status`, 'utf8'))
  return Number(kilobytes) * 1024
}

async function countMarked (mark) {
  const [entry] = Object.entries(mark).map(([name, value]) => `${name}=${value}`)
  const pids = (await readdir('/proc')).filter(name => /^\d+$/.test(name))
  // One that has ended meanwhile, or is somebody else's, cannot be read.
  const environments = await Promise.all(pids.map(pid => readFile(`/proc/${pid}/environ`, 'latin1').catch(() => '')))
  return environments.filter(text => text.split('\0').includes(entry)).length
}

// The primary of a cluster of two workers, each of which runs handover-server.js. SIGUSR2 replaces the one that is the oldest.
import cluster from 'node:cluster'
import { writeSync } from 'node:fs'
import { Socket } from 'node:net'
import { fileURLToPath } from 'node:url'

import { replaceWorker } from '../../dist/esm/lib/cluster.js'
import { now } from './now.js'

cluster.setupPrimary({ exec: fileURLToPath(new URL('./handover-server.js', import.meta.url)) })
// It ends when the bench does, as its workers do.
new Socket({ fd: 1, readable: true, writable: false }).on('close', () => process.kill(process.pid, 'SIGKILL')).resume().unref()

const workers = [cluster.fork(), cluster.fork()]
let turn = 0
tellNext()

process.on('SIGUSR2', async () => {
  const old = workers.shift()
  try {
    const successor = await replaceWorker(old)
    workers.push(successor)
    report('taken over', old, { successor: successor.process.pid })
  } catch (error) {
    report('failed', old, { message: error.message })
  }
  turn++
  tellNext()
})

function tellNext () {
  report(`turn ${turn}`, workers[0])
}

function report (event, worker, more) {
  writeSync(1, `${JSON.stringify({ event, pid: worker.process.pid, at: now(), ...more })}\n`)
}

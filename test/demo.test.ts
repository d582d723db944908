import t from 'tap'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { DrainReportFile } from '../index.ts'
import { runDemo, tableIn } from './helpers/demo.ts'
// @ts-expect-error -- plain JavaScript
import { startService } from '../demo/service-process.js'

// Nine processes are started one after the other.
t.setTimeout(300_000)

function isAlive (pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch {
    return false
  }
}

function reportIn (file: string): DrainReportFile {
  return JSON.parse(readFileSync(file, 'utf8'))
}

t.test('the demo shows that nothing is lost, and where the report of the last drain is', async t => {
  const folder = t.testdir({})
  const run = await runDemo(t, ['--report', join(folder, 'demo.json')])
  t.equal(run.code, 0, 'its end', { output: run.output })
  t.match(tableIn(run.output), { lost: [[/^\d+$/], ['0']], 'answered 503': [[/^\d+$/], ['0']] })
  t.match(run.output, `${join(folder, 'demo.json')}, and to be seen at file://${join(folder, 'demo.html')}`)
  const { reason, connections, timeline } = reportIn(join(folder, 'demo.json'))
  t.equal(reason, 'SIGTERM')
  t.equal(timeline.connections.length, connections.total)
  t.ok(connections.total >= 10)
  t.match(readFileSync(join(folder, 'demo.html'), 'utf8'), `<title>Drain of ${connections.total} connections`)
})

t.test('the demo of the handover, in a terminal, shows who answers and that every connection is kept', async t => {
  const file = join(t.testdir({}), 'demo.json')
  const run = await runDemo(t, ['--handover', '--report', file], { terminal: true })
  t.equal(run.code, 0, 'its end', { output: run.output })
  const frames = run.output.split('\u001b[2K')
  t.ok(frames.length > 10, 'redrawn in place')
  t.ok(frames.some(frame => /with fastify-drain .* 0 reconnects {2}\d+: 10 /.test(frame)), 'with who has the connections')
  const rows = tableIn(run.output)
  t.match(rows, {
    lost: [[/^\d+$/], ['0']],
    'connections before': [['10'], ['10']],
    'kept to the end': [['0'], ['10']],
    reconnects: [[/^[1-9]\d*$/], ['0']],
    'connections moved': [['none', 'none'], [/^10 in \d+ ms$/, /^10 in \d+ ms$/]],
    'longest pause, before': [[/^\d+ ms$/], [/^\d+ ms$/]],
    'longest pause, restarts': [[/^\d+ ms$/], [/^\d+ ms$/]]
  })
  t.equal(new Set(rows['answered by process']?.[1]).size, 3, 'each process has answered')
  t.match(run.output, /With fastify-drain, in 2 restarts, 10 of 10 connections were kept \(0 reconnects\), all \d+ requests got their answer/)
  t.equal(reportIn(file).connections['handed-over'], 10)
})

t.test('when the demo of the handover ends its service, the successor ends too', async t => {
  const service = startService({ hasPlugin: true, work: 0 })
  t.teardown(service.end)
  await service.line(({ msg }: { msg: string }) => msg.startsWith('Server listening'), 'does not listen')
  process.kill(service.pid, 'SIGUSR2')
  const { successor } = await service.line(({ msg }: { msg: string }) => msg.includes('has taken over'), 'was not taken over')
  t.ok(isAlive(successor))
  await service.end()
  for (const started = performance.now(); isAlive(successor) && performance.now() - started < 10_000;) await sleep(20)
  t.notOk(isAlive(successor))
})

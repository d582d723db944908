import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import ts from 'typescript'
import { answers, rawClient, request } from './helpers/raw-client.ts'
import { startProgram, type Program } from './helpers/systemd.ts'

interface Test { teardown (fn: () => unknown): void, testdir (files: Record<string, string>): string }

const host = '127.0.0.1'

function compiled (name: string): string {
  return ts.transpileModule(readFileSync(new URL(`../examples/${name}.ts`, import.meta.url), 'utf8'), {
    compilerOptions: { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2023 }
  }).outputText
}

/** Starts an example on a free port; it, and whatever it starts, is gone on teardown. */
async function start (t: Test, name: string): Promise<{ example: Program, to: { host: string, port: number } }> {
  const file = join(t.testdir({ [`${name}.js`]: compiled(name) }), `${name}.js`)
  // Without tap's loaders, which cost more than all the rest.
  const example = startProgram(t, ['env', '-u', 'NODE_OPTIONS', process.execPath, file], { env: { ...process.env, PORT: '0' } })
  t.teardown(() => {
    for (const pid of new Set(example.told.map(({ pid }) => pid as number))) kill(pid)
  })
  const line = await example.says('Server listening at')
  return { example, to: { host, port: Number(/:(\d+)"/.exec(line)?.[1]) } }
}

function kill (pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // It has ended.
  }
}

t.test('examples/handover.ts goes on in another process after SIGUSR2: its clients keep their connections', async t => {
  const { example, to } = await start(t, 'handover')
  const idle = await rawClient(t, to)
  idle.write(request('/'))
  await idle.until(new RegExp(`{"pid":${example.pid},`))
  const busy = await rawClient(t, to)
  busy.write(request('/slow'))
  // It has been read when a later one is answered.
  idle.write(request('/'))
  await idle.until(text => answers(text).length === 2)

  example.kill('SIGUSR2')
  const { successor } = await example.tellsWhere(({ msg }) => /has taken over/.test(msg), 'the handover')
  idle.write(request('/'))
  await idle.until(new RegExp(`{"pid":${successor},"cached":1}`))
  await busy.until(new RegExp(`{"slow":true,"pid":${example.pid}}`))
  // A request that follows at once may be answered there, too.
  await example.tells({ pid: example.pid, phase: 'closed' })
  busy.write(request('/'))
  await busy.until(new RegExp(`{"pid":${successor},"cached":1}`))
  for (const client of [idle, busy]) t.notMatch(client.received, /connection: close/i)

  process.kill(successor, 'SIGTERM')
  for (const client of [idle, busy]) {
    await client.fin()
    client.halfClose()
  }
  t.match(await example.exited, { code: 0, signal: null }, 'the first process, and its output has ended with that of the second one')
  await example.tells({ pid: successor, phase: 'closed' })
})

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { startConnectionLoad, type LoadOptions } from './helpers/connection-load.ts'
import { lacks, socketActivate, startActivated, supervised, unusedPort } from './helpers/systemd.ts'

/*
 * systemd keeps the socket of a socket unit, and connections wait in its accept queue while no service runs. Here
 * systemd-socket-activate opens the socket, and a supervisor keeps it: systemd-socket-activate becomes what it starts.
 */

const skip = lacks(socketActivate, ['python3', 'python3'])
if (skip !== false && process.env.CI === 'true') t.fail(skip)

const host = '127.0.0.1'
const restarts = 2

interface Case { address: string, listen: object, to: LoadOptions['to'], tls?: boolean }

const cases: Record<string, (t: { teardown (fn: () => unknown): void }) => Promise<Case>> = {
  http: async () => {
    const port = await unusedPort()
    return { address: `${host}:${port}`, listen: { host, port }, to: { host, port } }
  },
  https: async () => {
    const port = await unusedPort()
    return { address: `${host}:${port}`, listen: { host, port }, to: { host, port }, tls: true }
  },
  'a Unix socket': async t => {
    const folder = await mkdtemp(join(tmpdir(), 'drain-'))
    t.teardown(() => rm(folder, { recursive: true }))
    const path = join(folder, 'socket')
    return { address: path, listen: { path }, to: { path } }
  }
}

for (const [name, make] of Object.entries(cases)) {
  t.test(`${restarts} restarts on an inherited socket lose nothing: ${name}`, { skip }, async t => {
    const { address, listen, to, tls = false } = await make(t)
    const load = { to, tls, fresh: tls ? 5 : 20, kept: 20 }
    const plan = { apps: [{ options: { idleGrace: 500, peerCloseTimeout: 1000 }, listen, https: tls }] }
    const supervisor = await startActivated(t, [address], plan, { command: supervised() })
    // The first connection starts it.
    const running = startConnectionLoad(t, load)
    await running.answers(300)
    for (let i = 0; i < restarts; i++) {
      supervisor.say('restart')
      await supervisor.tellsAgain({ type: 'stopped' })
      // Those that came while no service ran are among them: every loop waits for one.
      await running.answers(300)
    }
    const tally = await running.stop()

    t.comment(`${tally.answered} answered on ${tally.connections} connections`)
    t.same(tally.failed, {}, 'none was refused, reset or left without its answer')
    t.same(supervisor.told.filter(({ type }) => type === 'stopped').map(({ code }) => code), [0, 0], 'each process has drained')
    t.equal(new Set(supervisor.told.filter(({ type }) => type === 'started').map(({ pid }) => pid)).size, restarts + 1)
  })
}

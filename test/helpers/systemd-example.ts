import { spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { lacks, unusedPort } from './systemd.ts'
import { lacksManager, startManager, type Manager } from './systemd-manager.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const read = (name: string): string => readFileSync(join(root, 'examples', name), 'utf8')

/** Units of examples/systemd under a systemd of their own. */
export interface Example extends Manager {
  readonly host: string
  readonly port: number
  /** What the service has logged. */
  log (): any[]
  /** The messages that it has logged at this level or above. */
  logged (level: number): string[]
  /** The main process, as systemd sees it. */
  pid (): Promise<number>
  /** Changes the program on disk. */
  deploy (text: string): void
}

const skipAnalyze = lacks(['systemd-analyze', 'systemd'])

/** Why the units cannot be started here, or `false`; where everything has to be tested, that is a failure. */
export function lacksSystemd (): string | false {
  const skip = lacksManager()
  for (const missing of [skipAnalyze, skip]) {
    if (missing !== false && process.env.CI === 'true') t.fail(missing)
  }
  return skip
}

export function analyzeUnits (name: string): void {
  t.test(`systemd-analyze has nothing to say against ${name}.socket and ${name}.service`, { skip: skipAnalyze }, t => {
    const folder = t.testdir({
      [`${name}.socket`]: read(`systemd/${name}.socket`),
      // It looks whether the program is there.
      [`${name}.service`]: read(`systemd/${name}.service`).replace('/usr/bin/node', process.execPath)
    })
    const units = ['socket', 'service'].map(kind => join(folder, `${name}.${kind}`))
    const { status, stdout, stderr } = spawnSync('systemd-analyze', ['verify', ...units], { encoding: 'utf8' })
    t.equal(stdout + stderr, '')
    t.equal(status, 0)
    t.end()
  })
}

/** The units of this name, changed only in what has to be of this machine; `change`: more lines for the service. */
export async function startExample (t: Test, name: string, program: string, change = ''): Promise<Example> {
  const host = '127.0.0.1'
  const port = await unusedPort()
  const manager = await startManager(t, folder => ({
    [`${name}.socket`]: read(`systemd/${name}.socket`),
    [`${name}.socket.d/test.conf`]: `[Socket]\nListenStream=\nListenStream=${host}:${port}\n`,
    [`${name}.service`]: read(`systemd/${name}.service`),
    [`${name}.service.d/test.conf`]: `[Service]\nExecStart=\nExecStart=${process.execPath} ${folder}/${name}.js\n` +
      `Environment=PORT=${port}\nStandardOutput=append:${folder}/log\nStandardError=inherit\n` +
      `BindReadOnlyPaths=${root} ${dirname(process.execPath)}\n${change}`,
    [`${name}.js`]: program
  }))
  const log = (): any[] => readFileSync(join(manager.folder, 'log'), 'utf8').split('\n').filter(line => line.startsWith('{')).map(line => JSON.parse(line))
  return {
    ...manager,
    host,
    port,
    log,
    logged: level => log().filter(message => message.level >= level).map(({ msg }) => msg),
    pid: async () => Number(await manager.show(`${name}.service`, 'MainPID')),
    deploy: text => writeFileSync(join(manager.folder, `${name}.js`), text)
  }
}

import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import t from 'tap'
import { drainsUnderLoad } from './helpers/environment.ts'
import { snippet } from './helpers/snippets.ts'
import { lacks, socketActivate, startProgram, unusedPort } from './helpers/systemd.ts'

const service = snippet('systemd', 'app.service')
const socket = snippet('systemd', 'app.socket')
const setting = (unit: string, name: string): string => new RegExp(`^${name}=(.*)$`, 'm').exec(unit)?.[1] ?? ''
const skip = lacks(socketActivate, ['systemd-analyze', 'systemd'])
if (skip !== false && process.env.CI === 'true') t.fail(skip)

t.test('systemd-analyze has nothing to say against the units of the page', { skip }, async t => {
  const folder = t.testdir({
    'app.socket': socket,
    // It looks whether the program is there.
    'app.service': service.replace('/usr/bin/node', process.execPath)
  })
  const { status, stdout, stderr } = spawnSync('systemd-analyze', ['verify', join(folder, 'app.socket'), join(folder, 'app.service')], { encoding: 'utf8' })
  t.equal(stdout + stderr, '')
  t.equal(status, 0)
})

t.test('the command of the unit, on the socket that it has inherited, drains under load', { skip }, async t => {
  const port = await unusedPort()
  const here = (text: string): string => text.replace('3000', String(port))
  const command = setting(service, 'ExecStart').replace('/usr/bin/node', process.execPath).replace('/opt/app/', '').split(' ')
  const environment = here(setting(service, 'Environment')).split(' ')
  const program = startProgram(t, [
    'systemd-socket-activate', '-l', here(setting(socket, 'ListenStream')), ...environment.map(variable => `--setenv=${variable}`), ...command
  ], {
    cwd: t.testdir({ 'server.js': snippet('systemd', 'server.js') }),
    // tap's loaders cost more than all the rest.
    env: { ...process.env, NODE_OPTIONS: '', KUBERNETES_SERVICE_HOST: undefined }
  })
  await program.says('Listening on')
  // The first connection starts it, in the place of the activator.
  await drainsUnderLoad(t, { program, port })
  t.ok(program.told.some(({ msg }) => /^listen: on the inherited descriptor 3/.test(msg)), 'it has opened no port of its own')
})

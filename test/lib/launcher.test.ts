import t from 'tap'
import { processes, whySignalsAreLost } from '../../lib/launcher.ts'

/** The processes above this one, from its parent up to process 1 if `inContainer`. */
function above (chain: string[][], { inContainer = false, isInTerminal = false } = {}) {
  const ids = chain.map((_, i) => inContainer && i === chain.length - 1 ? 1 : 100 - i)
  return {
    ppid: ids[0] ?? 0,
    isInTerminal,
    argumentsOf: (pid: number) => chain[ids.indexOf(pid)] ?? [],
    parentOf: (pid: number) => ids[ids.indexOf(pid) + 1] ?? null
  }
}

const container = { inContainer: true }
const shell = ['/bin/sh', '-c', 'node server.js; true']

for (const [name, chain, where] of [
  ['npm', [['npm start', '', ''], ['bash']], {}],
  ['npm', [shell, ['npm run start:prod'], ['tini', '--']], container],
  ['npm', [['npm start']], container],
  ['npm', [['/usr/bin/node', '/usr/lib/node_modules/npm/bin/npm-cli.js', 'start']], {}],
  ['npx', [shell, ['node', '/usr/local/bin/npx', 'tsx']], {}],
  ['yarn', [['/usr/local/bin/node', '/opt/yarn/bin/yarn.js', 'start']], {}],
  ['pnpm', [shell, ['node', '/usr/local/bin/pnpm', 'start']], {}],
  ['npm', [shell, shell, ['npm start']], {}]
] as const) {
  t.test(`${chain.map(args => args[0]).join(' < ')}: ${name} is named`, async t => {
    t.match(whySignalsAreLost(above(chain as unknown as string[][], where)), new RegExp(`^${name} has started this process: .+; start it with node itself`))
  })
}

for (const chain of [[shell], [['sh', '/entrypoint.sh']], [['/bin/bash', '-e', '/app/start.sh', '--port', '80']], [['busybox', 'sh', '-c', 'x']], [shell, shell]]) {
  t.test(`process 1 is ${chain.at(-1)?.join(' ')}: it passes no signal on`, async t => {
    t.match(whySignalsAreLost(above(chain, container)), /^process 1 is a shell, .+; start it with node itself/)
  })
}

t.test('at a terminal Ctrl+C reaches npm and this process alike', async t => {
  t.equal(whySignalsAreLost(above([shell, ['npm run dev']], { isInTerminal: true })), null)
})

t.test('a shell below the init of a container takes the container with it', async t => {
  for (const init of ['/sbin/docker-init', 'tini', '/usr/bin/dumb-init', 'catatonit']) {
    t.match(whySignalsAreLost(above([shell, [init, '--', 'sh', '-c', 'x']], container)), /^a shell is between (docker-init|tini|dumb-init|catatonit) and this process: .+; start it/)
  }
})

for (const [what, chain, where] of [
  ['an init', [['/sbin/docker-init', '--', 'node', 'server.js']], container],
  ['systemd', [['/sbin/init']], container],
  ['a shell below systemd, which ends the whole group', [shell, ['/usr/lib/systemd/systemd']], container],
  ['somebody who types', [['-bash']], container],
  ['somebody who types in a container', [['bash']], container],
  ['somebody who types in a login shell', [['/bin/bash', '--login', '-i']], container],
  ['a shell elsewhere', [shell, ['-bash'], ['sshd']], {}],
  ['another node', [['/usr/bin/node', '/app/supervisor.js']], {}],
  ['a node that runs tests for npm', [['/usr/bin/node', '/app/test.js'], ['npm test']], {}],
  ['a program that is called like npm', [['/opt/npmx', 'start']], {}],
  ['nobody who can be seen', [[]], {}],
  ['nobody at all', [], {}]
] as const) {
  t.test(`started by ${what}: nothing is known against it`, async t => {
    t.equal(whySignalsAreLost(above(chain as unknown as string[][], where)), null)
  })
}

t.test('of this machine it knows the parent of this process', { skip: process.platform !== 'linux' && 'needs /proc' }, async t => {
  t.equal(processes.ppid, process.ppid)
  t.equal(processes.parentOf(process.pid), process.ppid)
  t.match(processes.argumentsOf(process.pid)[0], /node/)
  t.equal(processes.parentOf(1), null)
  t.same(processes.argumentsOf(2 ** 30), [])
  t.equal(processes.parentOf(2 ** 30), null)
})

import { fileURLToPath } from 'node:url'
import t from 'tap'
import { drainsUnderLoad, startPage } from './helpers/environment.ts'
import { snippet } from './helpers/snippets.ts'
import { node } from './helpers/systemd.ts'

const program = fileURLToPath(new URL('../node_modules/fastify-cli/cli.js', import.meta.url))
const [name, ...args] = snippet('fastify-cli', 'command').trim().split('\n').at(-1)?.split(' ') ?? []
const command = [...node, program, ...args]

t.test('the app of the page about fastify-cli drains under load, and the command ends with 0', async t => {
  t.equal(name, 'fastify')
  const started = await startPage(t, 'fastify-cli', { command })
  await drainsUnderLoad(t, started)
  t.ok(started.program.told.some(({ report }) => report?.reason === 'app.close()'), 'the signal was for fastify-cli')
})

t.test('an answer that takes longer than the 500 ms of fastify-cli is cut without the delay of the page, and arrives with it', async t => {
  const slow = (files: Record<string, string>): Record<string, string> => {
    const app = files['app.js']?.replace('({ pid: process.pid })', 'new Promise(resolve => setTimeout(resolve, 1500, { late: true }))')
    return { ...files, 'app.js': app as string }
  }
  const short = await startPage(t, 'fastify-cli', { command: command.filter(argument => !/grace|^\d+$/.test(argument)), change: slow })
  const cut = fetch(`http://127.0.0.1:${short.port}/`).then(answer => answer.json())
  await short.program.says('incoming request')
  short.program.kill('SIGTERM')
  await t.rejects(cut)
  t.match(await short.program.exited, { code: 1 })

  const long = await startPage(t, 'fastify-cli', { command, change: slow })
  const whole = fetch(`http://127.0.0.1:${long.port}/`).then(answer => answer.json())
  await long.program.says('incoming request')
  long.program.kill('SIGTERM')
  t.same(await whole, { late: true })
  t.match(await long.program.exited, { code: 0 })
})

t.test('without fastify-plugin around the app the plugin says that it is not at the root', async t => {
  const bare = (files: Record<string, string>): Record<string, string> => ({
    ...files, 'app.js': (files['app.js'] as string).replace('fp(async function', '(async function')
  })
  await t.rejects(startPage(t, 'fastify-cli', { command, change: bare }), /FST_DRAIN_NOT_AT_ROOT/)
})

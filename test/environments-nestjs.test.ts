import t from 'tap'
import ts from 'typescript'
import { drainsUnderLoad, startPage } from './helpers/environment.ts'
import { node } from './helpers/systemd.ts'

const command = [...node, 'main.js']

/** What Nest's own compiler settings make of it. */
function compile (source: string): string {
  const { outputText } = ts.transpileModule(source, {
    compilerOptions: {
      module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2022, experimentalDecorators: true, emitDecoratorMetadata: true
    }
  })
  return outputText
}

const compiled = (change = (source: string): string => source) => (files: Record<string, string>): Record<string, string> => ({
  'main.js': compile(change(files['main.ts'] as string))
})

/** The hooks of Nest say when they run. */
const telling = (source: string): string => source.replace('this.#pool.clear()', `this.#pool.clear()
    tell('onModuleDestroy')
  }
  beforeApplicationShutdown (signal: string) {
    tell('beforeApplicationShutdown', signal)
  }
  onApplicationShutdown (signal: string) {
    tell('onApplicationShutdown', signal)`) + `
function tell (...words: string[]) {
  console.log(...words, app.getHttpAdapter().getInstance().drain.phase)
}`

t.test('the app of the page about NestJS drains under load, then its hooks run, and the process ends with 0', async t => {
  const started = await startPage(t, 'nestjs', { command, change: compiled(telling) })
  await drainsUnderLoad(t, started)
  t.same(started.program.lines.filter(line => /^(on|before)/.test(line)), [
    'onModuleDestroy closed', 'beforeApplicationShutdown SIGTERM closed', 'onApplicationShutdown SIGTERM closed'
  ])
})

t.test('with the adapter of Nest the hooks run while requests are still served, which fail for what is gone', async t => {
  const plain = (source: string): string => telling(source).replace('new DrainingAdapter', 'new FastifyAdapter')
    .replace("tell('beforeApplicationShutdown', signal)", 'return new Promise(resolve => setTimeout(resolve, 300))')
  const { program, port } = await startPage(t, 'nestjs', { command, change: compiled(plain) })
  t.equal((await fetch(`http://127.0.0.1:${port}/`)).status, 200)
  program.kill('SIGTERM')
  await program.says('onModuleDestroy serving')
  t.equal((await fetch(`http://127.0.0.1:${port}/`)).status, 500)
  t.match(await program.exited, { code: 0 })
})

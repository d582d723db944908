import { readFileSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import ts from 'typescript'
import { startProgram, type Program } from './systemd.ts'

interface Test { teardown (fn: () => unknown): void, testdir (files: Record<string, string>): string }

export interface StartedExample {
  example: Program
  to: { host: string, port: number }
  /** Changes its file. */
  deploy (text: string): void
}

/** What runs an example of this path in examples/, such as `systemd/app`. */
export function compiled (name: string): string {
  return ts.transpileModule(readFileSync(new URL(`../../examples/${name}.ts`, import.meta.url), 'utf8'), {
    compilerOptions: { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2023 }
  }).outputText
}

/** Starts an example on a free port; it, and whatever it starts, is gone on teardown. */
export async function startExample (t: Test, name: string, env: Record<string, string> = {}): Promise<StartedExample> {
  const script = `${basename(name)}.js`
  const file = join(t.testdir({ [script]: compiled(name) }), script)
  // Without tap's loaders, which cost more than all the rest.
  const example = startProgram(t, ['env', '-u', 'NODE_OPTIONS', process.execPath, file], { env: { ...process.env, PORT: '0', ...env } })
  t.teardown(() => {
    for (const pid of new Set(example.told.map(({ pid }) => pid as number))) kill(pid)
  })
  const line = await example.says('Server listening at')
  return { example, to: { host: '127.0.0.1', port: Number(/:(\d+)"/.exec(line)?.[1]) }, deploy: text => writeFileSync(file, text) }
}

function kill (pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // It has ended.
  }
}

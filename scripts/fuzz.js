// Runs a fuzzer of test/ on this Node: `npm run fuzz -- --minutes 2`, `npm run fuzz:handover -- --runs 200`, `npm run soak -- --minutes 5`; with `-- --seed 1234` one run.
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { root } from './toolchain.js'

// Node strips the types itself from 22.18 on; before, tap's loader does, as in the suite.
const loader = process.features.typescript ? [] : ['--import', import.meta.resolve('@tapjs/typescript/import')]
const [script, ...args] = process.argv.slice(2)
const child = spawn(process.execPath, [...loader, join(root, 'test', script), ...args], {
  stdio: 'inherit',
  env: { ...process.env, TAP_TYPECHECK: '0' }
})
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => child.kill(signal))
child.on('exit', (code, signal) => process.exit(code ?? (signal === null ? 0 : 1)))

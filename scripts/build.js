// dist/esm and dist/cjs from the same sources.
import { appendFileSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { callable } from './cjs-types.js'
import { root, runTool } from './toolchain.js'

const dist = join(root, 'dist')
rmSync(dist, { recursive: true, force: true })

const passes = await Promise.all(['esm', 'cjs'].map(format => runTool('tsc', ['-p', `tsconfig.${format}.json`])))

// Both passes report the same errors; the first one that failed is enough.
const failed = passes.find(({ ok }) => !ok)
if (failed) {
  process.stdout.write(failed.output)
  process.exitCode = 1
} else {
  // require('fastify-drain') is the plugin itself and carries every named export, `default` among them.
  appendFileSync(join(dist, 'cjs', 'index.js'), 'module.exports = Object.assign(exports.default, exports);\n')
  const declarations = join(dist, 'cjs', 'index.d.ts')
  writeFileSync(declarations, callable(readFileSync(declarations, 'utf8')))
  // Written last: its age is the age of the build.
  writeFileSync(join(dist, 'cjs', 'package.json'), '{ "type": "commonjs" }\n')
}

// Installs and builds what is missing or stale, so that the demo and the benches run from a fresh clone.
// `node scripts/setup.js bench` installs the benches' own dependencies too.
import { join } from 'node:path'
import { build, install, needsBuild, needsInstall, root } from './toolchain.js'

async function step (title, action) {
  console.log(title)
  const { ok, output } = await action()
  if (ok) return
  process.stdout.write(output)
  process.exit(1)
}

if (needsInstall()) await step('Installing dependencies (npm ci) ...', install)
if (process.argv[2] === 'bench') {
  const bench = join(root, 'bench')
  if (needsInstall(bench)) await step('Installing the dependencies of bench/ ...', () => install(bench))
}
if (needsBuild()) await step('Building dist/ ...', build)

// The software bill of materials (CycloneDX, JSON) of what an installed fastify-drain consists of.
//
//   node scripts/sbom.js [file]    to a file, else to stdout
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { npm, root } from './toolchain.js'

const { name, dependencies = {}, optionalDependencies = {} } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
const [file] = process.argv.slice(2)

// From the lock file: what is installed here is that of one platform.
let output = ''
const { ok } = await npm(['sbom', '--sbom-format', 'cyclonedx', '--sbom-type', 'library', '--package-lock-only'], { onStdout: text => { output += text } })
if (!ok) {
  console.error(`npm sbom has failed, it needs npm 9.5 or newer\n${output}`)
  process.exit(1)
}
const text = `${JSON.stringify(ofProduction(JSON.parse(output)), null, 2)}\n`
if (file === undefined) process.stdout.write(text)
else writeFileSync(file, text)

// `npm sbom --omit=dev` leaves out what a development dependency needs as well.
function ofProduction (bom) {
  const { component } = bom.metadata
  const dependsOn = new Map(bom.dependencies.map(({ ref, dependsOn }) => [ref, dependsOn]))
  const names = new Map(bom.components.map(({ 'bom-ref': ref, name }) => [ref, name]))
  const direct = new Set(Object.keys({ ...dependencies, ...optionalDependencies }))
  const own = dependsOn.get(component['bom-ref']).filter(ref => direct.has(names.get(ref)))
  // A set goes on with what is added to it meanwhile.
  const kept = new Set(own)
  for (const ref of kept) for (const needed of dependsOn.get(ref)) kept.add(needed)
  // npm takes the name of the folder.
  component.name = name
  return {
    ...bom,
    components: bom.components.filter(({ 'bom-ref': ref }) => kept.has(ref)),
    dependencies: bom.dependencies.filter(({ ref }) => ref === component['bom-ref'] || kept.has(ref)).map(({ ref, dependsOn }) => ({ ref, dependsOn: ref === component['bom-ref'] ? own : dependsOn }))
  }
}

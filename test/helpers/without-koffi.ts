/*
 * `import('koffi')` and `require('koffi')` fail as they do where the optional dependency was not installed, and so do others.
 */

// Runs in a thread of its own where Node has no synchronous hooks (Node 20).
const hooks = (name: string): string => `
  export function resolve (specifier, context, next) {
    if (specifier !== '${name}') return next(specifier, context)
    const code = context.conditions.includes('require') ? 'MODULE_NOT_FOUND' : 'ERR_MODULE_NOT_FOUND'
    throw Object.assign(new Error("Cannot find package '${name}'"), { code })
  }
`

const register = (name: string): string => `
  import module from 'node:module'
  import { resolve } from ${JSON.stringify(dataUrl(hooks(name)))}
  if (module.registerHooks !== undefined) module.registerHooks({ resolve })
  else {
    module.register(${JSON.stringify(dataUrl(hooks(name)))})
    const { _resolveFilename } = module
    module._resolveFilename = function (request, ...rest) {
      if (request === '${name}') throw Object.assign(new Error("Cannot find module '${name}'"), { code: 'MODULE_NOT_FOUND' })
      return _resolveFilename.call(this, request, ...rest)
    }
  }
`

/** Flags for a Node process that shall do without a package, on every Node line. */
export const without = (name: string): string[] => ['--import', dataUrl(register(name))]

/** `startProcess(t, fixture, { nodeArgs: withoutKoffi })` */
export const withoutKoffi: readonly string[] = without('koffi')

function dataUrl (source: string): string {
  return `data:text/javascript,${encodeURIComponent(source)}`
}

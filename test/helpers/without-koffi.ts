/*
 * `import('koffi')` and `require('koffi')` fail as they do where the optional dependency was not installed.
 */

// Runs in a thread of its own where Node has no synchronous hooks (Node 20).
const hooks = `
  export function resolve (specifier, context, next) {
    if (specifier !== 'koffi') return next(specifier, context)
    const code = context.conditions.includes('require') ? 'MODULE_NOT_FOUND' : 'ERR_MODULE_NOT_FOUND'
    throw Object.assign(new Error("Cannot find package 'koffi'"), { code })
  }
`

const register = `
  import module from 'node:module'
  import { resolve } from ${JSON.stringify(dataUrl(hooks))}
  if (module.registerHooks !== undefined) module.registerHooks({ resolve })
  else {
    module.register(${JSON.stringify(dataUrl(hooks))})
    const { _resolveFilename } = module
    module._resolveFilename = function (request, ...rest) {
      if (request === 'koffi') throw Object.assign(new Error("Cannot find module 'koffi'"), { code: 'MODULE_NOT_FOUND' })
      return _resolveFilename.call(this, request, ...rest)
    }
  }
`

/** Flags for a Node process that shall do without koffi, on every Node line: `startProcess(t, fixture, { nodeArgs: withoutKoffi })`. */
export const withoutKoffi: readonly string[] = ['--import', dataUrl(register)]

function dataUrl (source: string): string {
  return `data:text/javascript,${encodeURIComponent(source)}`
}

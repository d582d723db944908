// The declarations for require(): there the package is the plugin itself, which carries everything else (`export =`).
// tsc declares a module with a default export, and would refuse `app.register(require('fastify-drain'))`.
const exportedTypes = /^export type \{ (.+?) \} from (.+);\n/gm
const exportedValues = /^export default fastifyDrain;\nexport \{ fastifyDrain \};\n/m
const plugin = /^declare const fastifyDrain: (.+);\n/m

/** @param {string} declarations those that tsc has made of index.ts */
export function callable (declarations) {
  const types = [...declarations.matchAll(exportedTypes)].flatMap(([, names, from]) => names.split(', ').map(name => [name, from]))
  const [, type] = plugin.exec(declarations) ?? []
  if (type === undefined || !exportedValues.test(declarations)) throw new Error('index.d.ts has another form than scripts/cjs-types.js knows')
  const exported = types.map(([name, from]) => `    export type ${name} = import(${from}).${name};\n`)
  return declarations
    .replace(exportedTypes, '')
    .replace(exportedValues, '')
    .replace(plugin, `type Plugin = ${type};
declare function fastifyDrain(...args: Parameters<Plugin>): ReturnType<Plugin>;
declare namespace fastifyDrain {
    const fastifyDrain: Plugin;
    export { fastifyDrain, fastifyDrain as default };
${exported.join('')}}
export = fastifyDrain;
`)
}

// Compiles projects with this project's TypeScript, and prints, as JSON, what it has to say of each.
//
// What tsc would say without skipLibCheck, but only of the files given and of the declarations of this package: to look through
// those of Node and of the language each time takes longer than all the rest.
import { join } from 'node:path'
import ts from 'typescript'

const { packageName, typeRoots, compilations } = JSON.parse(process.argv[2])

const host = { getCanonicalFileName: name => name, getCurrentDirectory: () => '/', getNewLine: () => '\n' }

console.log(JSON.stringify(compilations.map(({ folder, files, options }) => {
  const { options: parsed, errors } = ts.convertCompilerOptionsFromJson({
    noEmit: true,
    strict: true,
    exactOptionalPropertyTypes: true,
    target: 'es2023',
    allowJs: true,
    checkJs: true,
    typeRoots,
    types: ['node'],
    skipLibCheck: false,
    ...options
  }, folder)
  const program = ts.createProgram(files.map(file => join(folder, file)), parsed)
  const own = program.getSourceFiles().filter(({ fileName }) => !fileName.includes('/node_modules/') || fileName.includes(`/node_modules/${packageName}/`))
  const found = own.flatMap(file => [...program.getSyntacticDiagnostics(file), ...program.getSemanticDiagnostics(file)])
  return {
    checked: own.length,
    text: ts.formatDiagnostics([...errors, ...program.getOptionsDiagnostics(), ...program.getGlobalDiagnostics(), ...found], host)
  }
})))

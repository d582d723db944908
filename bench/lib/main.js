/** Runs a command: an error becomes one message on stderr and exit code 1. */
export async function run (main) {
  try {
    await main()
  } catch (error) {
    console.error(`\n${error.message}`)
    if (/ERR_MODULE_NOT_FOUND|Cannot find (package|module)/.test(error.message)) {
      console.error('\nStart it by its npm script: that installs and builds what is missing.')
    }
    process.exitCode = 1
  }
}

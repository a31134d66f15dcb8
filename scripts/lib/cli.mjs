/** Runs one step of a script. Prints its title before, and its duration after. */
export async function step(title, work) {
  const start = Date.now()
  process.stdout.write(`• ${title} …\n`)
  const result = await work()
  process.stdout.write(`  ${title}: done in ${((Date.now() - start) / 1000).toFixed(1)} s\n`)
  return result
}

/** An error that the user of a script can fix. `main` prints its message without a stack trace. */
export class UserError extends Error {}

/** Runs the main function of a script, and sets the exit code to its result, to 0 or, after an error, to 1. */
export async function main(run) {
  try {
    process.exitCode = (await run()) ?? 0
  } catch (error) {
    console.error(error instanceof UserError ? `\n${error.message}\n` : error)
    process.exitCode = 1
  }
}

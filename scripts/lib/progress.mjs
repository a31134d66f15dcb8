/** Says what a long step is doing, and how long it took once it is done. */
export async function step(title, work) {
  const start = Date.now()
  process.stdout.write(`• ${title} …\n`)
  const result = await work()
  process.stdout.write(`  ${title}: done in ${((Date.now() - start) / 1000).toFixed(1)} s\n`)
  return result
}

/** A problem the reader can solve: printed without a stack. */
export class Remedy extends Error {}

/** Runs a script's main function; a Remedy is printed as it is, anything else with its stack. */
export async function main(run) {
  try {
    process.exitCode = (await run()) ?? 0
  } catch (error) {
    console.error(error instanceof Remedy ? `\n${error.message}\n` : error)
    process.exitCode = 1
  }
}

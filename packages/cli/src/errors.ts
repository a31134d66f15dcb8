/** The command was used wrongly: exit code 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}

/** What a user of the command can fix. Printed without a stack trace: exit code 1. */
export class CommandError extends Error {
  override readonly name = 'CommandError'
}

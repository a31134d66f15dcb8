import { shareServers } from '@stowage/test-servers'

/** Runs once before all tests, in the process that starts the workers. Returns what runs after them. */
export default shareServers

export { sessionSecret } from '@stowage/sessions'
export { SessionStore, type SessionStoreOptions, type StoredSession } from './session-store.ts'

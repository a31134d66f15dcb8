export { standardDrivers } from './standard-drivers.ts'

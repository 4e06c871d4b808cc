/** The lab, as commands and tests use it. */

export { labExec, labLoadImage, labLogFile } from './access.ts';
export { labCut, labDelay, labHeal, labIsolate, labKill } from './faults.ts';
export { labKubeconfig } from './kubeconfig.ts';
export { labDown, labReaddress, labStart, labStop, labUp } from './lifecycle.ts';
export { controlSocketOf, type Report } from './session.ts';
export { type DockerSetup, labRoot, planOf, readState } from './state.ts';
export { type LabStatus, labStatus } from './status.ts';

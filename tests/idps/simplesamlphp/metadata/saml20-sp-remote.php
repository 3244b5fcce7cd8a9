<?php

$state = json_decode(file_get_contents(getenv('USHER_TEST_FOLDER') . '/state.json'), true);
$known = $state['service_provider'];
$answers = $state['answers'];
if ($known) {
    $metadata[$known['entity_id']] = [
        'AssertionConsumerService' => $known['acs'],
        'SingleLogoutService' => [[
            'Binding' => 'urn:oasis:names:tc:SAML:2.0:bindings:HTTP-'
                . ($answers['binding'] === 'post' ? 'POST' : 'Redirect'),
            'Location' => $known['slo'],
        ]],
        'certData' => $known['certificate'],
        // What signs may be another key than the one that the metadata names first.
        'signature.privatekey' => $state['key'],
        'signature.certificate' => $state['certificate'],
        'validate.logout' => true,
        'saml20.sign.response' => $answers['sign_response'],
        'saml20.sign.assertion' => $answers['sign_assertion'],
        'assertion.encryption' => $answers['encrypt'],
    ];
}

<?php

$state = json_decode(file_get_contents(getenv('USHER_TEST_FOLDER') . '/state.json'), true);
$metadata[$state['entity_id']] = [
    'host' => '__DEFAULT__',
    'auth' => 'people',
    'privatekey' => $state['key'],
    'certificate' => $state['published'][0],
    'attributes.NameFormat' => 'urn:oasis:names:tc:SAML:2.0:attrname-format:basic',
    'NameIDFormat' => 'urn:oasis:names:tc:SAML:2.0:nameid-format:persistent',
    'SingleSignOnServiceBinding' => [
        'urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect',
        'urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST',
    ],
    'SingleLogoutServiceBinding' => [
        'urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect',
        'urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST',
    ],
    'sign.logout' => true,
    'redirect.sign' => true,
    'authproc' => [
        10 => [
            'class' => 'saml:AttributeNameID',
            'attribute' => 'nameid',
            'Format' => 'urn:oasis:names:tc:SAML:2.0:nameid-format:persistent',
        ],
        20 => ['class' => 'core:AttributeLimit', 'mail', 'givenName', 'sn', 'groups'],
    ],
];
if (isset($state['published'][1])) {
    $metadata[$state['entity_id']]['new_certificate'] = $state['published'][1];
    $metadata[$state['entity_id']]['new_privatekey'] = $state['key'];
}
